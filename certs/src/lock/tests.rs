use std::fs;

use proptest::prelude::*;

use super::*;

fn key(byte: u8) -> DataKey {
    DataKey::from_bytes([byte; KEY_BYTES])
}

fn opened(path: &Path) -> DataKey {
    match KeyFile::load(path).unwrap() {
        Some(KeyFile::Open(key)) => key,
        other => panic!("{other:?}"),
    }
}

fn locked(path: &Path) -> LockedKey {
    match KeyFile::load(path).unwrap() {
        Some(KeyFile::Locked(key)) => key,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_key_file_survives_and_is_private() {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("identity/data.key");
    assert!(KeyFile::load(&path).unwrap().is_none());
    key(1).save(&path, None).unwrap();
    assert_eq!(opened(&path).as_bytes(), key(1).as_bytes());
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_damaged_key_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.key");
    let short = pem::encode(OPEN_LABEL, &[1; 31]).to_string();
    for content in [String::new(), short] {
        fs::write(&path, content).unwrap();
        let error = KeyFile::load(&path).unwrap_err().to_string();
        assert!(error.contains("data.key is damaged"), "{error}");
    }
}

#[test]
fn what_one_key_locked_no_other_opens() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.key");
    let (first, second) = (
        UnlockKey::generate().unwrap(),
        UnlockKey::generate().unwrap(),
    );
    key(1).save(&path, Some(&first)).unwrap();
    assert_eq!(
        locked(&path).unlock(&first).unwrap().as_bytes(),
        key(1).as_bytes()
    );
    assert_eq!(
        locked(&path).unlock(&second).unwrap_err(),
        SealError::Forged
    );
    key(1).save(&path, Some(&second)).unwrap();
    assert_eq!(locked(&path).unlock(&first).unwrap_err(), SealError::Forged);
    assert!(locked(&path).unlock(&second).is_ok());
    key(1).save(&path, None).unwrap();
    assert_eq!(opened(&path).as_bytes(), key(1).as_bytes());
}

#[test]
fn a_locked_file_shows_neither_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.key");
    let lock = UnlockKey::from_bytes([7; KEY_BYTES]);
    key(1).save(&path, Some(&lock)).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let bytes = pem::decode(LOCKED_LABEL, &text).unwrap();
    for secret in [[1; KEY_BYTES], [7; KEY_BYTES]] {
        assert!(!bytes.windows(8).any(|window| window == &secret[..8]));
    }
    // The only file of the key there is: nothing is left beside it.
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_changed_byte_opens_nothing() {
    let lock = UnlockKey::from_bytes([7; KEY_BYTES]);
    let sealed = lock.0.seal(CONTEXT, key(1).as_bytes()).unwrap();
    for at in 0..sealed.len() {
        let mut bad = sealed.clone();
        bad[at] ^= 1;
        assert!(LockedKey(bad).unlock(&lock).is_err(), "byte {at}");
    }
}

/// On the disks of locked managers.
#[test]
fn what_an_earlier_release_locked_opens() {
    let text = "-----BEGIN SWARMLET LOCKED DATA KEY-----\n\
        AQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fWZ8JgQBFq9GnFAYBLQKM\n\
        cSHnUCf46kxd8UP8x0xXq0d85/eG1KT7gz7jM1n4uhvg\n\
        -----END SWARMLET LOCKED DATA KEY-----\n";
    let Ok(KeyFile::Locked(locked)) = KeyFile::parse(text) else {
        panic!("it is not read");
    };
    let lock = UnlockKey::from_bytes([7; KEY_BYTES]);
    assert_eq!(locked.unlock(&lock).unwrap().as_bytes(), key(1).as_bytes());
}

#[test]
fn an_unlock_key_is_written_as_docker_writes_it() {
    let text = "SWMKEY-1-QefwcEg1VZAvl1uKmhH8OReM6i+CqWMWv6bgF0F/tvU";
    let key: UnlockKey = text.parse().unwrap();
    assert_eq!(*key.to_text(), text);
    assert_eq!(format!("{key:?}"), "UnlockKey(..)");
    for wrong in [
        "",
        "SWMKEY-1-",
        "SWMKEY-2-QefwcEg1VZAvl1uKmhH8OReM6i+CqWMWv6bgF0F/tvU",
        "SWMKEY-1-QefwcEg1VZAvl1uKmhH8OReM6i+CqWMWv6bgF0F/tv",
        "SWMKEY-1-QefwcEg1VZAvl1uKmhH8OReM6i+CqWMWv6bgF0F/tvU=",
        "QefwcEg1VZAvl1uKmhH8OReM6i+CqWMWv6bgF0F/tvU",
    ] {
        let error = wrong.parse::<UnlockKey>().unwrap_err();
        assert_eq!(error.to_string(), "invalid key string", "{wrong}");
    }
}

proptest! {
    #[test]
    fn an_unlock_key_reads_back(bytes: [u8; KEY_BYTES]) {
        let key = UnlockKey::from_bytes(bytes);
        prop_assert_eq!(*key.to_text().parse::<UnlockKey>().unwrap().to_bytes(), bytes);
    }

    #[test]
    fn no_text_panics(text: String) {
        let _ = text.parse::<UnlockKey>();
        let _ = format!("SWMKEY-1-{text}").parse::<UnlockKey>();
        let _ = KeyFile::parse(&text);
    }
}
