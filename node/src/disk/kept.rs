//! Files that hold what a node was told last, for the time after a reboot when
//! nobody is there to tell it again.
//!
//! Such a file is written by a task of its own, so that a slow SD card delays no
//! container; of values that come while it writes only the newest is kept. One
//! that did not reach the disk is not lost to the running node, only to a reboot,
//! so a full disk stops nothing: writing is tried again from time to time.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use certs::seal::DataKey;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long to wait after a value could not be written.
pub const RETRY: Duration = Duration::from_secs(10);

/// What is kept in one file, as a whole.
pub trait Kept: Clone + Send + Sync + 'static {
    /// The file's name.
    const FILE: &'static str;
    /// For people: what it is that is damaged, and what becomes of it.
    const LOSS: &'static str;
    /// A larger file is damaged.
    const MAX_BYTES: u64;
    type Error: Display + Send;

    /// The file's content, under the node's data key.
    fn seal(&self, key: &DataKey) -> Result<Vec<u8>, Self::Error>;

    /// What [`seal`](Self::seal) made; every changed byte is to be noticed.
    fn open(bytes: &[u8], key: &DataKey) -> Result<Self, Self::Error>;
}

/// Why there is no value although the directory should have one.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// Nothing was read or changed.
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

/// Reads the value; `None` where there is none. A damaged file is set aside
/// under another name and reported: the node then waits for its manager.
pub fn load<T: Kept>(dir: &Path, key: &DataKey) -> Result<Option<T>, KeptError> {
    let path = dir.join(T::FILE);
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| KeptError::Io { path, source }
    };
    fs::create_dir_all(dir).map_err(at(dir))?;
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(&path)(error)),
    };
    let mut bytes = Vec::new();
    let read = file.take(T::MAX_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(at(&path))?;
    match T::open(&bytes, key) {
        Ok(value) => Ok(Some(value)),
        Err(reason) => {
            let aside = damaged::<T>(dir);
            fs::rename(&path, &aside).map_err(at(&path))?;
            tracing::error!(file = %path.display(), aside = %aside.display(), %reason,
                "{}", T::LOSS);
            Ok(None)
        }
    }
}

fn temporary<T: Kept>(dir: &Path) -> PathBuf {
    dir.join(format!("{}.new", T::FILE))
}

fn damaged<T: Kept>(dir: &Path) -> PathBuf {
    dir.join(format!("{}.damaged", T::FILE))
}

/// Hands values to the writing task. Dropping it ends the task after the last.
#[derive(Debug)]
pub struct Writer<T> {
    newest: watch::Sender<Option<T>>,
    task: JoinHandle<()>,
}

impl<T: Kept> Writer<T> {
    /// `retry`: after a value could not be written.
    pub fn spawn(dir: PathBuf, key: DataKey, retry: Duration) -> Self {
        let (newest, mut values) = watch::channel(None);
        let task = tokio::spawn(async move {
            let mut behind = false;
            loop {
                tokio::select! {
                    change = values.changed() => if change.is_err() { return },
                    () = tokio::time::sleep(retry), if behind => {}
                }
                let value: Option<T> = values.borrow_and_update().clone();
                if let Some(value) = value {
                    behind = !write_and_report(&dir, &key, value).await;
                }
            }
        });
        Self { newest, task }
    }

    pub fn write(&self, value: T) {
        self.newest.send_replace(Some(value));
    }

    /// Ends when the last value is on disk.
    pub async fn finish(self) {
        drop(self.newest);
        if let Err(error) = self.task.await {
            tracing::error!(file = T::FILE, %error, "its writer ended early");
        }
    }
}

/// Whether the value is on disk.
async fn write_and_report<T: Kept>(dir: &Path, key: &DataKey, value: T) -> bool {
    let (dir, key) = (dir.to_owned(), key.clone());
    let written = tokio::task::spawn_blocking(move || save(&dir, &key, &value)).await;
    let reason = match written {
        Ok(Ok(())) => return true,
        Ok(Err(reason)) => reason,
        Err(error) => error.to_string(),
    };
    tracing::error!(file = T::FILE, %reason, "cannot be written");
    false
}

/// Replaces the file as a whole: after a power cut it is the old or the new. On
/// an error, whose text it returns, the old one is still there.
fn save<T: Kept>(dir: &Path, key: &DataKey, value: &T) -> Result<(), String> {
    let bytes = value.seal(key).map_err(|error| error.to_string())?;
    replace(dir, &temporary::<T>(dir), T::FILE, &bytes).map_err(|error| error.to_string())
}

fn replace(dir: &Path, temporary: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(temporary, dir.join(name))?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq)]
    struct Word(String);

    impl Kept for Word {
        const FILE: &'static str = "word";
        const LOSS: &'static str = "the word is lost";
        const MAX_BYTES: u64 = 1 << 10;
        type Error = certs::seal::SealError;

        fn seal(&self, key: &DataKey) -> Result<Vec<u8>, Self::Error> {
            key.seal(b"word", self.0.as_bytes())
        }

        fn open(bytes: &[u8], key: &DataKey) -> Result<Self, Self::Error> {
            let word = key.open(b"word", bytes)?;
            Ok(Self(String::from_utf8_lossy(&word).into_owned()))
        }
    }

    fn word(text: &str) -> Word {
        Word(text.to_owned())
    }

    #[tokio::test]
    async fn the_newest_value_is_on_disk_when_the_writer_ends() {
        let dir = tempfile::tempdir().unwrap();
        let key = DataKey::generate().unwrap();
        let writer = Writer::spawn(dir.path().to_owned(), key.clone(), RETRY);
        for n in 0..5 {
            writer.write(word(&n.to_string()));
        }
        writer.finish().await;
        assert_eq!(load(dir.path(), &key).unwrap(), Some(word("4")));
        assert!(!temporary::<Word>(dir.path()).exists());
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
        let file = dir.path().join(Word::FILE);
        let temporary = temporary::<Word>(dir.path());
        let key = DataKey::generate().unwrap();
        // In the way of the last step of writing.
        fs::create_dir_all(file.join("x")).unwrap();
        let writer = Writer::spawn(dir.path().into(), key.clone(), Duration::from_millis(1));
        writer.write(word("late"));
        until(|| temporary.exists()).await;
        fs::remove_file(&temporary).unwrap();
        until(|| temporary.exists()).await;
        fs::remove_dir_all(&file).unwrap();
        until(|| file.is_file()).await;
        writer.finish().await;
        assert_eq!(load(dir.path(), &key).unwrap(), Some(word("late")));
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_not_half_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let key = DataKey::generate().unwrap();
        assert!(load::<Word>(dir.path(), &key).unwrap().is_none());
        save(dir.path(), &key, &word("whole")).unwrap();
        let path = dir.path().join(Word::FILE);
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 0x40;
        fs::write(&path, &bytes).unwrap();
        assert!(load::<Word>(dir.path(), &key).unwrap().is_none());
        assert!(!path.exists());
        assert_eq!(fs::read(damaged::<Word>(dir.path())).unwrap(), bytes);
    }
}
