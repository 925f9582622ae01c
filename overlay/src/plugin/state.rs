//! What the driver has promised, on disk: the engine does not repeat itself when
//! the daemon is back.
//!
//! Networks outlive a boot, so their file is synced; endpoints and attachments do
//! not, and are written once or twice for each container that starts, so theirs
//! are only replaced. Each is there as a whole or not at all.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::attach::AttachmentId;
use super::attachments::Attachment;
use super::registry::{Endpoint, Network, Registry};

const NETWORKS: &str = "networks.json";
const ENDPOINTS: &str = "endpoints.json";
const ATTACHMENTS: &str = "attachments.json";
/// Some 10,000 endpoints; a larger file is not ours.
const MAX_FILE_BYTES: u64 = 8 << 20;

#[derive(Debug, Serialize, Deserialize)]
enum Networks {
    V1(BTreeMap<String, Network>),
}

#[derive(Debug, Serialize, Deserialize)]
enum Endpoints {
    V1(BTreeMap<String, Endpoint>),
}

#[derive(Debug, Serialize, Deserialize)]
enum Attachments {
    V1(BTreeMap<AttachmentId, Attachment>),
}

/// The directory, and what is in it.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    saved: Registry,
}

impl Store {
    /// Opens the directory, which is made if it is missing, and reads it.
    ///
    /// # Errors
    /// The directory cannot be used, or the networks' file is damaged: it is
    /// named, nothing is changed. Endpoints and attachments that are damaged
    /// are none, with a warning.
    pub fn open(dir: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let networks = read(&dir.join(NETWORKS))?.map(|Networks::V1(networks)| networks);
        let endpoints = read_if_whole(&dir.join(ENDPOINTS))?;
        let endpoints = endpoints.map(|Endpoints::V1(endpoints)| endpoints);
        let attachments = read_if_whole(&dir.join(ATTACHMENTS))?;
        let attachments = attachments.map(|Attachments::V1(attachments)| attachments);
        Ok(Self {
            dir: dir.to_owned(),
            saved: Registry {
                networks: networks.unwrap_or_default(),
                endpoints: endpoints.unwrap_or_default(),
                attachments: attachments.unwrap_or_default(),
            },
        })
    }

    /// What was saved last.
    pub fn saved(&self) -> &Registry {
        &self.saved
    }

    /// Writes what differs from what was saved last.
    ///
    /// # Errors
    /// The disk holds what was saved before, or some of the files are new.
    pub fn save(&mut self, registry: &Registry) -> io::Result<()> {
        if self.saved.networks != registry.networks {
            let record = Networks::V1(registry.networks.clone());
            replace(&self.dir.join(NETWORKS), &record, true)?;
            self.saved.networks.clone_from(&registry.networks);
        }
        if self.saved.endpoints != registry.endpoints {
            let record = Endpoints::V1(registry.endpoints.clone());
            replace(&self.dir.join(ENDPOINTS), &record, false)?;
            self.saved.endpoints.clone_from(&registry.endpoints);
        }
        if self.saved.attachments != registry.attachments {
            let record = Attachments::V1(registry.attachments.clone());
            replace(&self.dir.join(ATTACHMENTS), &record, false)?;
            self.saved.attachments.clone_from(&registry.attachments);
        }
        Ok(())
    }

    /// Removes the files, and the directory if nothing else is in it.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn purge(&self) -> io::Result<()> {
        for file in [NETWORKS, ENDPOINTS, ATTACHMENTS] {
            let path = self.dir.join(file);
            missing_is_fine(fs::remove_file(temporary(&path)))?;
            missing_is_fine(fs::remove_file(path))?;
        }
        match fs::remove_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            removed => missing_is_fine(removed),
        }
    }
}

/// As [`read`]; what is damaged is as if it were not there.
fn read_if_whole<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            tracing::warn!(%error, "what was written of containers is lost");
            Ok(None)
        }
        found => found,
    }
}

/// `None`: there is no such file.
fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(naming(path, error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|error| naming(path, error))?;
    let record = serde_json::from_slice(&bytes)
        .map_err(|error| naming(path, io::Error::new(io::ErrorKind::InvalidData, error)))?;
    Ok(Some(record))
}

fn replace(path: &Path, record: &impl Serialize, synced: bool) -> io::Result<()> {
    let temporary = temporary(path);
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(&serde_json::to_vec(record)?)?;
        if synced {
            file.sync_all()?;
        }
        fs::rename(&temporary, path)
    });
    let synced = written.and_then(|()| match path.parent() {
        Some(dir) if synced => File::open(dir)?.sync_all(),
        _ => Ok(()),
    });
    synced.map_err(|error| naming(path, error))
}

fn temporary(path: &Path) -> PathBuf {
    path.with_extension("json.tmp")
}

fn naming(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn missing_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
