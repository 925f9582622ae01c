//! What the docker program keeps in its own directory: credentials for
//! registries, and contexts, which say where a daemon is.

mod context;
mod registry;

use std::path::{Path, PathBuf};

use super::error::CliError;
use super::values::Invalid;

pub use context::Installed;
pub use registry::{Credentials, header};

/// `$DOCKER_CONFIG`, or `.docker` at home.
#[derive(Debug, Clone)]
pub struct Directory(PathBuf);

impl Directory {
    /// # Errors
    /// There is no home either.
    pub fn of_user() -> Result<Self, CliError> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let path = set("DOCKER_CONFIG").map(PathBuf::from);
        let path = path.or_else(|| Some(PathBuf::from(set("HOME")?).join(".docker")));
        let missing = "neither DOCKER_CONFIG nor HOME says where docker keeps its configuration";
        path.map(Self).ok_or_else(|| Invalid::new(missing).into())
    }

    #[cfg(test)]
    fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

fn unusable(path: &Path) -> impl FnOnce(std::io::Error) -> CliError {
    let path = path.display().to_string();
    move |source| CliError::File { path, source }
}
