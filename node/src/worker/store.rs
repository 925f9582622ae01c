//! The agent's file, `<dir>/assignments`.
//!
//! Written by a task of its own, so that a slow SD card delays no container; of
//! records that come while it writes only the newest is kept. A record that did
//! not reach the disk is not lost to the running node, only to a reboot, so a
//! full disk stops nothing: writing is tried again from time to time.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use certs::seal::DataKey;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::codec::{self, CodecError, MAX_BYTES, Record};

const FILE: &str = "assignments";
const TEMPORARY: &str = "assignments.new";
const DAMAGED: &str = "assignments.damaged";
/// How long to wait after a record could not be written.
pub(super) const RETRY: Duration = Duration::from_secs(10);

/// Why there is no record although the directory should have one.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing was read or changed.
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

/// Reads the record; `None` where there is none. A damaged file is set aside
/// under another name and reported: the node then waits for its manager.
pub(super) fn load(dir: &Path, key: &DataKey) -> Result<Option<Record>, StoreError> {
    let path = dir.join(FILE);
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| StoreError::Io { path, source }
    };
    fs::create_dir_all(dir).map_err(at(dir))?;
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(&path)(error)),
    };
    let mut bytes = Vec::new();
    let limit = MAX_BYTES as u64 + 1;
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(at(&path))?;
    match codec::open(&bytes, key) {
        Ok(record) => Ok(Some(record)),
        Err(reason) => {
            let aside = dir.join(DAMAGED);
            fs::rename(&path, &aside).map_err(at(&path))?;
            tracing::error!(file = %path.display(), aside = %aside.display(), %reason,
                "the file of assignments is damaged and was set aside; containers that run are \
                 kept, others start when a manager is reached");
            Ok(None)
        }
    }
}

/// Hands records to the writing task. Dropping it ends the task after the last.
#[derive(Debug)]
pub(super) struct Writer {
    newest: watch::Sender<Option<Record>>,
    task: JoinHandle<()>,
}

impl Writer {
    pub fn spawn(dir: PathBuf, key: DataKey, retry: Duration) -> Self {
        let (newest, mut records) = watch::channel(None);
        let task = tokio::spawn(async move {
            let mut behind = false;
            loop {
                tokio::select! {
                    change = records.changed() => if change.is_err() { return },
                    () = tokio::time::sleep(retry), if behind => {}
                }
                let record = records.borrow_and_update().clone();
                if let Some(record) = record {
                    behind = !write_and_report(&dir, &key, record).await;
                }
            }
        });
        Self { newest, task }
    }

    pub fn write(&self, record: Record) {
        self.newest.send_replace(Some(record));
    }

    /// Ends when the last record is on disk.
    pub async fn finish(self) {
        drop(self.newest);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the writer of assignments ended early");
        }
    }
}

/// Whether the record is on disk.
async fn write_and_report(dir: &Path, key: &DataKey, record: Record) -> bool {
    let (dir, key) = (dir.to_owned(), key.clone());
    let written = tokio::task::spawn_blocking(move || save(&dir, &key, &record)).await;
    match written {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => tracing::error!(%error, "the assignments cannot be written"),
        Err(error) => tracing::error!(%error, "writing the assignments failed"),
    }
    false
}

/// Replaces the file as a whole: after a power cut it is the old or the new.
fn save(dir: &Path, key: &DataKey, record: &Record) -> Result<(), SaveError> {
    let bytes = codec::seal(record, key)?;
    let temporary = dir.join(TEMPORARY);
    let mut file = File::create(&temporary)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, dir.join(FILE))?;
    File::open(dir)?.sync_all()?;
    Ok(())
}

/// The old file is still there.
#[derive(Debug, thiserror::Error)]
enum SaveError {
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_record_is_on_disk_when_the_writer_ends() {
        let dir = tempfile::tempdir().unwrap();
        let key = DataKey::generate().unwrap();
        let writer = Writer::spawn(dir.path().to_owned(), key.clone(), RETRY);
        for n in 0..5 {
            writer.write(Record {
                instance: Some(n.to_string()),
                ..Record::default()
            });
        }
        writer.finish().await;
        let record = load(dir.path(), &key).unwrap().unwrap();
        assert_eq!(record.instance.as_deref(), Some("4"));
        assert!(!dir.path().join(TEMPORARY).exists());
    }

    async fn until(condition: impl Fn() -> bool) {
        let wait = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_written_later() {
        let dir = tempfile::tempdir().unwrap();
        let (file, temporary) = (dir.path().join(FILE), dir.path().join(TEMPORARY));
        let key = DataKey::generate().unwrap();
        // In the way of the last step of writing.
        fs::create_dir_all(file.join("x")).unwrap();
        let writer = Writer::spawn(dir.path().into(), key.clone(), Duration::from_millis(1));
        writer.write(Record::default());
        until(|| temporary.exists()).await;
        fs::remove_file(&temporary).unwrap();
        until(|| temporary.exists()).await;
        fs::remove_dir_all(&file).unwrap();
        until(|| file.is_file()).await;
        writer.finish().await;
        assert_eq!(load(dir.path(), &key).unwrap(), Some(Record::default()));
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_not_half_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let key = DataKey::generate().unwrap();
        assert!(load(dir.path(), &key).unwrap().is_none());
        save(dir.path(), &key, &Record::default()).unwrap();
        let path = dir.path().join(FILE);
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 0x40;
        fs::write(&path, &bytes).unwrap();
        assert!(load(dir.path(), &key).unwrap().is_none());
        assert!(!path.exists());
        assert_eq!(fs::read(dir.path().join(DAMAGED)).unwrap(), bytes);
    }
}
