//! Secrets and configs: small files that services refer to and that their
//! tasks find in their containers.
//!
//! Both are the same thing but for who may see the bytes: a config's are shown
//! to whoever may ask the API, a secret's to the tasks alone. The bytes never
//! change; what changes is a new object under a new name. So an id names bytes,
//! and a node that has them need not be sent them again.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::Id;
use crate::object::Meta;
use crate::spec::{ContainerSpec, Driver, Labels};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FileKind {
    Secret,
    Config,
}

impl FileKind {
    pub const ALL: [Self; 2] = [Self::Secret, Self::Config];

    /// As Docker's texts name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Config => "config",
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A secret or a config of the swarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileObject {
    pub id: Id,
    pub kind: FileKind,
    pub meta: Meta,
    pub spec: FileSpec,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FileSpec {
    pub name: String,
    /// All that an update may change.
    pub labels: Labels,
    pub content: Arc<FileContent>,
}

impl FileSpec {
    /// With these bytes, which do not travel in the JSON of a spec.
    pub(crate) fn with_data(mut self, data: Payload) -> Self {
        let content = Arc::make_mut(&mut self.content);
        content.data = data;
        self
    }
}

/// What a node needs of it to make the files of tasks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FileContent {
    /// The bytes are a template, expanded for each task.
    pub templating: Option<Driver>,
    #[serde(skip)]
    pub data: Payload,
}

impl FileContent {
    /// Of all that it holds, in bytes.
    pub fn size(&self) -> usize {
        let driver = self.templating.as_ref();
        let options = driver.into_iter().flat_map(|it| &it.options);
        let options = options.map(|(name, value)| name.len() + value.len());
        let name = driver.map_or(0, |it| it.name.len());
        self.data.bytes().len() + name + options.sum::<usize>()
    }
}

/// Bytes that no log, no error and no JSON shows. Only ever in sealed files and
/// memory, and in the files of running tasks.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Arc<[u8]>);

impl Payload {
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self(Arc::from([]))
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}

/// That the containers of a task have a secret or a config as a file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FileReference {
    pub id: Id,
    /// As it was when the service was written, which is for ever.
    pub name: String,
    /// As written; see [`path`](Self::path).
    pub target: String,
    pub uid: u32,
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
}

impl FileReference {
    /// Where it is in the container.
    pub fn path(&self, kind: FileKind) -> String {
        let target = &self.target;
        match kind {
            _ if target.starts_with('/') => target.clone(),
            FileKind::Secret => format!("/run/secrets/{target}"),
            FileKind::Config => format!("/{target}"),
        }
    }
}

impl ContainerSpec {
    pub fn files(&self, kind: FileKind) -> &[FileReference] {
        match kind {
            FileKind::Secret => &self.secrets,
            FileKind::Config => &self.configs,
        }
    }

    /// Of both kinds, secrets first.
    pub fn all_files(&self) -> impl Iterator<Item = (FileKind, &FileReference)> {
        let of = |kind| self.files(kind).iter().map(move |file| (kind, file));
        FileKind::ALL.into_iter().flat_map(of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_shown_by_nothing() {
        let spec = FileSpec::default().with_data(b"hunter2".to_vec().into());
        assert_eq!(spec.content.data.bytes(), b"hunter2");
        let shown = format!("{spec:?} {}", serde_json::to_string(&spec).unwrap());
        assert!(
            !shown.contains("hunter2") && !shown.contains("104"),
            "{shown}"
        );
        assert!(shown.contains("<7 bytes>"), "{shown}");
    }

    #[test]
    fn a_relative_target_is_where_docker_puts_it() {
        let reference = |target: &str| FileReference {
            target: target.to_owned(),
            ..FileReference::default()
        };
        use FileKind::{Config, Secret};
        assert_eq!(reference("s").path(Secret), "/run/secrets/s");
        assert_eq!(reference("etc/c").path(Config), "/etc/c");
        assert_eq!(reference("/etc/c").path(Secret), "/etc/c");
    }
}
