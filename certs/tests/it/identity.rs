//! An identity on disk: whole or absent, private, and clear about what is wrong with it.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use crate::common::Cluster;
use certs::{Error, Identity, NodeKey, Role, seal::DataKey};

/// The damaged file's name and the whole message.
fn damage(directory: &Path) -> (String, String) {
    let error = Identity::load(directory, None).unwrap_err();
    let text = error.to_string();
    match error {
        Error::Damaged { path, .. } => {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, text)
        }
        other => panic!("{other}"),
    }
}

fn saved() -> (tempfile::TempDir, Identity) {
    let directory = tempfile::tempdir().unwrap();
    let identity = Cluster::new().identity(Role::Manager);
    identity.save(directory.path(), None).unwrap();
    (directory, identity)
}

#[test]
fn what_was_saved_loads() {
    let (directory, identity) = saved();
    let loaded = Identity::load(directory.path(), None).unwrap().unwrap();
    assert_eq!(loaded.certificate(), identity.certificate());
    assert_eq!(loaded.root(), identity.root());
    assert_eq!(loaded.key().node_id(), identity.node_id());
}

#[test]
fn only_the_owner_can_read_it() {
    let outer = tempfile::tempdir().unwrap();
    let directory = outer.path().join("state/identity");
    Cluster::new()
        .identity(Role::Worker)
        .save(&directory, None)
        .unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    let mut names = Vec::new();
    for entry in fs::read_dir(&directory).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(mode(&entry.path()), 0o600, "{:?}", entry.path());
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["ca.crt", "node.crt", "node.key"]);
}

#[test]
fn a_new_device_has_no_identity() {
    let directory = tempfile::tempdir().unwrap();
    assert!(Identity::load(directory.path(), None).unwrap().is_none());
    assert!(
        Identity::load(&directory.path().join("missing"), None)
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_join_that_was_cut_off_leaves_the_key_and_no_identity() {
    let directory = tempfile::tempdir().unwrap();
    let key = NodeKey::generate().unwrap();
    key.save(directory.path()).unwrap();
    fs::write(directory.path().join("node.crt.tmp"), "half a cert").unwrap();
    assert!(Identity::load(directory.path(), None).unwrap().is_none());
    let again = Identity::load_key(directory.path(), None).unwrap().unwrap();
    assert_eq!(again.node_id(), key.node_id());
}

#[test]
fn an_expired_identity_still_loads() {
    let directory = tempfile::tempdir().unwrap();
    let expired = Cluster::new().expired_member(Role::Worker).identity();
    expired.save(directory.path(), None).unwrap();
    assert!(Identity::load(directory.path(), None).unwrap().is_some());
}

#[test]
fn a_damaged_file_is_named_with_the_way_out() {
    for name in ["node.key", "ca.crt", "node.crt"] {
        let (directory, _) = saved();
        let path = directory.path().join(name);
        for content in ["", "\0\0\0\0", &fs::read_to_string(&path).unwrap()[..90]] {
            fs::write(&path, content).unwrap();
            let (damaged, text) = damage(directory.path());
            assert_eq!(damaged, name);
            assert!(text.contains("leave --force"), "{text}");
        }
    }
}

#[test]
fn a_file_that_is_not_text_is_damaged() {
    let (directory, _) = saved();
    fs::write(directory.path().join("node.key"), [0xff; 100_000]).unwrap();
    assert_eq!(damage(directory.path()).0, "node.key");
}

#[test]
fn a_missing_part_is_named() {
    for name in ["node.key", "ca.crt"] {
        let (directory, _) = saved();
        fs::remove_file(directory.path().join(name)).unwrap();
        let (damaged, text) = damage(directory.path());
        assert_eq!(damaged, name);
        assert!(text.contains("missing"), "{text}");
    }
}

#[test]
fn parts_of_two_identities_do_not_make_one() {
    for name in ["node.key", "ca.crt", "node.crt"] {
        let ((ours, _), (theirs, _)) = (saved(), saved());
        fs::copy(theirs.path().join(name), ours.path().join(name)).unwrap();
        assert_eq!(damage(ours.path()).0, "node.crt", "foreign {name}");
    }
}

#[test]
fn a_new_identity_in_the_same_place_replaces_the_old_one() {
    let (directory, old) = saved();
    let new = Cluster::new().identity(Role::Worker);
    new.save(directory.path(), None).unwrap();
    let loaded = Identity::load(directory.path(), None).unwrap().unwrap();
    assert_ne!(loaded.node_id(), old.node_id());
    assert_eq!(loaded.certificate(), new.certificate());
}

#[test]
fn a_new_key_ends_the_old_identity_at_once() {
    let (directory, _) = saved();
    NodeKey::generate().unwrap().save(directory.path()).unwrap();
    assert!(Identity::load(directory.path(), None).unwrap().is_none());
}

#[test]
fn what_is_there_already_is_not_written_again() {
    let (directory, identity) = saved();
    let inodes = || {
        ["node.key", "ca.crt", "node.crt"]
            .map(|name| fs::metadata(directory.path().join(name)).unwrap().ino())
    };
    let before = inodes();
    identity.save(directory.path(), None).unwrap();
    assert_eq!(inodes(), before);
}

#[test]
fn a_removed_identity_is_gone() {
    let (directory, _) = saved();
    fs::write(directory.path().join("node.key.tmp"), "of a crash").unwrap();
    Identity::remove(directory.path()).unwrap();
    assert!(Identity::load(directory.path(), None).unwrap().is_none());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    Identity::remove(directory.path()).unwrap();
}

/// A certificate for the same key, from this cluster.
fn reissued(identity: &Identity, cluster: &Cluster) -> Identity {
    let key = NodeKey::from_pem(&identity.key().to_pem().unwrap()).unwrap();
    let certificate = cluster.certificate(&key, Role::Worker);
    Identity::new(key, certificate, cluster.ca.root().clone()).unwrap()
}

#[test]
fn a_renewal_that_cannot_be_written_leaves_the_old_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = Cluster::new();
    let identity = cluster.identity(Role::Manager);
    identity.save(directory.path(), None).unwrap();
    // A directory in the way of the temporary file stands for a disk that refuses.
    fs::create_dir(directory.path().join("node.crt.tmp")).unwrap();
    let saved = reissued(&identity, &cluster).save_certificate(directory.path());
    assert!(matches!(saved, Err(Error::Io { .. })));
    let loaded = Identity::load(directory.path(), None).unwrap().unwrap();
    assert_eq!(loaded.certificate(), identity.certificate());
}

#[test]
fn a_move_to_another_cluster_that_is_cut_off_leaves_no_half_identity() {
    let (directory, identity) = saved();
    fs::create_dir(directory.path().join("ca.crt.tmp")).unwrap();
    let saved = reissued(&identity, &Cluster::new()).save(directory.path(), None);
    assert!(matches!(saved, Err(Error::Io { .. })));
    assert!(Identity::load(directory.path(), None).unwrap().is_none());
}

fn node_key_file(directory: &Path) -> String {
    fs::read_to_string(directory.join("node.key")).unwrap()
}

#[test]
fn a_sealed_key_is_read_with_its_data_key_only() {
    let directory = tempfile::tempdir().unwrap();
    let identity = Cluster::new().identity(Role::Manager);
    let data_key = DataKey::generate().unwrap();
    identity.save(directory.path(), Some(&data_key)).unwrap();
    assert!(node_key_file(directory.path()).contains("SEALED"));

    let loaded = Identity::load(directory.path(), Some(&data_key)).unwrap();
    assert_eq!(loaded.unwrap().node_id(), identity.node_id());
    let other = DataKey::generate().unwrap();
    for wrong in [None, Some(&other)] {
        let error = Identity::load(directory.path(), wrong).unwrap_err();
        assert!(error.to_string().contains("node.key"), "{error}");
    }
    // Who it is can be told without a key.
    let certificate = Identity::load_certificate(directory.path()).unwrap();
    assert_eq!(certificate.unwrap().node_id(), identity.node_id());
}

#[test]
fn a_key_changes_its_form_in_place() {
    let (directory, identity) = saved();
    let data_key = DataKey::generate().unwrap();
    let open = node_key_file(directory.path());
    let key = identity.key();
    key.rewrite(directory.path(), Some(&data_key)).unwrap();
    let sealed = node_key_file(directory.path());
    assert!(
        Identity::load(directory.path(), Some(&data_key))
            .unwrap()
            .is_some()
    );

    // A renewal knows no data key, and leaves the private key as it is.
    identity.save_certificate(directory.path()).unwrap();
    assert_eq!(node_key_file(directory.path()), sealed);

    key.rewrite(directory.path(), None).unwrap();
    assert_eq!(node_key_file(directory.path()), open);
    // Also with a data key at hand.
    assert!(
        Identity::load(directory.path(), Some(&data_key))
            .unwrap()
            .is_some()
    );
}
