//! The node's keys on its disk: in the open, or under the unlock key of the swarm.
//!
//! What is secret on the disk is sealed with the data key, on a locked node also the
//! private key that it is known by. So the file of the data key says whether a node is
//! locked and with what, and each change of that is one file replaced:
//!
//! ```text
//! to lock      the node's key sealed, then the data key under the unlock key
//! to rotate    the data key under the new unlock key
//! to unlock    the data key in the open, then the node's key
//! ```
//! A crash in between leaves a node's key that is sealed with a data key in the open,
//! which is read as well.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use certs::lock::{KeyFile, LockedKey, UnlockKey};
use certs::seal::{DataKey, SealError};
use certs::{Error, Identity, NodeKey};

const DATA_KEY: &str = "data.key";

/// What the disk of a member has.
#[derive(Debug)]
pub enum Found {
    Open(Keys),
    Locked(Locked),
}

/// The keys of a node that takes part in its swarm.
#[derive(Debug)]
pub struct Keys {
    /// The directory of the identity.
    dir: PathBuf,
    data: DataKey,
    /// As it is on the disk; held while that changes.
    lock: Mutex<Option<UnlockKey>>,
}

/// The keys of a node that waits for its operator.
#[derive(Debug)]
pub struct Locked {
    dir: PathBuf,
    key: LockedKey,
}

impl Locked {
    /// # Errors
    /// `Forged` for a key that does not fit. Nothing was changed, on disk either.
    pub fn unlock(&self, lock: UnlockKey) -> Result<Keys, SealError> {
        Ok(Keys {
            dir: self.dir.clone(),
            data: self.key.unlock(&lock)?,
            lock: Mutex::new(Some(lock)),
        })
    }
}

/// The keys in the directory of an identity; a data key is made where there is none.
pub fn load(dir: &Path) -> Result<Found, Error> {
    let dir = dir.to_owned();
    match KeyFile::load(&dir.join(DATA_KEY))? {
        Some(KeyFile::Locked(key)) => Ok(Found::Locked(Locked { dir, key })),
        Some(KeyFile::Open(data)) => Ok(Found::Open(Keys {
            dir,
            data,
            lock: Mutex::new(None),
        })),
        None => Keys::create(&dir, None).map(Found::Open),
    }
}

impl Keys {
    /// A new data key in the directory of an identity. Under a lock it never lies there
    /// in the open, not even for a moment.
    pub fn create(dir: &Path, lock: Option<UnlockKey>) -> Result<Self, Error> {
        let data = DataKey::generate()?;
        data.save(&dir.join(DATA_KEY), lock.as_ref())?;
        Ok(Self {
            dir: dir.to_owned(),
            data,
            lock: Mutex::new(lock),
        })
    }

    /// What files are sealed with.
    pub fn data(&self) -> &DataKey {
        &self.data
    }

    /// Writes the identity of a new member beside them.
    pub fn save(&self, identity: &Identity) -> Result<(), Error> {
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        identity.save(&self.dir, lock.is_some().then_some(&self.data))
    }

    pub fn identity(&self) -> Result<Option<Identity>, Error> {
        Identity::load(&self.dir, Some(&self.data))
    }

    /// Has the disk locked with `wanted`, or with nothing; `node` is the key of this
    /// node. Whether anything had to change.
    ///
    /// # Errors
    /// The disk is locked as it was before.
    pub fn set_lock(&self, wanted: Option<UnlockKey>, node: &NodeKey) -> Result<bool, Error> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if *lock == wanted {
            return Ok(false);
        }
        let path = self.dir.join(DATA_KEY);
        match &wanted {
            Some(key) => {
                if lock.is_none() {
                    node.rewrite(&self.dir, Some(&self.data))?;
                }
                self.data.save(&path, Some(key))?;
            }
            None => {
                self.data.save(&path, None)?;
                node.rewrite(&self.dir, None)?;
            }
        }
        *lock = wanted;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A node's key and the keys in its directory; of the identity only that key is there.
    fn node(lock: Option<&UnlockKey>) -> (tempfile::TempDir, NodeKey, Keys) {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::create(dir.path(), lock.cloned()).unwrap();
        let node = NodeKey::generate().unwrap();
        let seal = lock.map(|_| keys.data());
        node.rewrite(dir.path(), seal).unwrap();
        (dir, node, keys)
    }

    fn unlocked(dir: &Path, lock: &UnlockKey) -> Result<Keys, SealError> {
        match load(dir).unwrap() {
            Found::Locked(locked) => locked.unlock(lock.clone()),
            Found::Open(_) => panic!("not locked"),
        }
    }

    fn open(dir: &Path) -> Keys {
        match load(dir).unwrap() {
            Found::Open(keys) => keys,
            Found::Locked(_) => panic!("locked"),
        }
    }

    fn check_node_key(dir: &Path, keys: &Keys, node: &NodeKey) {
        let key = Identity::load_key(dir, Some(keys.data())).unwrap().unwrap();
        assert_eq!(key.node_id(), node.node_id());
    }

    fn is_in_the_open(dir: &Path, name: &str) -> bool {
        let text = fs::read_to_string(dir.join(name)).unwrap();
        !text.contains("LOCKED") && !text.contains("SEALED")
    }

    #[test]
    fn a_lock_is_set_rotated_and_removed() {
        let (dir, node, keys) = node(None);
        let path = dir.path();
        let (first, second) = (
            UnlockKey::generate().unwrap(),
            UnlockKey::generate().unwrap(),
        );
        assert!(keys.set_lock(Some(first.clone()), &node).unwrap());
        assert!(!is_in_the_open(path, "data.key") && !is_in_the_open(path, "node.key"));
        check_node_key(path, &unlocked(path, &first).unwrap(), &node);

        assert!(keys.set_lock(Some(second.clone()), &node).unwrap());
        assert_eq!(unlocked(path, &first).unwrap_err(), SealError::Forged);
        check_node_key(path, &unlocked(path, &second).unwrap(), &node);

        assert!(keys.set_lock(None, &node).unwrap());
        assert!(is_in_the_open(path, "data.key") && is_in_the_open(path, "node.key"));
        check_node_key(path, &open(path), &node);
    }

    #[test]
    fn a_lock_that_is_there_is_not_written_again() {
        let lock = UnlockKey::generate().unwrap();
        let (dir, node, keys) = node(Some(&lock));
        let before = fs::read(dir.path().join("data.key")).unwrap();
        assert!(!keys.set_lock(Some(lock.clone()), &node).unwrap());
        let after = unlocked(dir.path(), &lock).unwrap();
        assert!(!after.set_lock(Some(lock), &node).unwrap());
        assert_eq!(fs::read(dir.path().join("data.key")).unwrap(), before);
    }

    #[test]
    fn a_change_that_was_cut_off_is_the_old_lock_or_the_new_one() {
        let lock = UnlockKey::generate().unwrap();
        // A directory in the way of the temporary file stands for a power cut.
        let (dir, node_key, keys) = node(None);
        fs::create_dir(dir.path().join("data.key.tmp")).unwrap();
        keys.set_lock(Some(lock.clone()), &node_key).unwrap_err();
        check_node_key(dir.path(), &open(dir.path()), &node_key);

        let (dir, node_key, keys) = node(Some(&lock));
        fs::create_dir(dir.path().join("node.key.tmp")).unwrap();
        keys.set_lock(None, &node_key).unwrap_err();
        check_node_key(dir.path(), &open(dir.path()), &node_key);
        // The running node tries again.
        fs::remove_dir(dir.path().join("node.key.tmp")).unwrap();
        assert!(keys.set_lock(None, &node_key).unwrap());
        assert!(is_in_the_open(dir.path(), "node.key"));
    }
}
