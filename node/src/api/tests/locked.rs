//! Autolock: the unlock key, and a node that waits for it.

use certs::lock::UnlockKey;
use serde_json::{Value, json};

use super::fake::{Fake, KEY};
use super::{get, post};
use crate::api::backend::LocalState;
use crate::api::error::texts;

fn key() -> String {
    UnlockKey::from_bytes(KEY).to_text().to_string()
}

async fn shown_key(fake: &Fake) -> String {
    let answer = get(fake, "/swarm/unlockkey").await.json();
    answer["UnlockKey"].as_str().unwrap().to_owned()
}

/// As Docker's client does: the whole spec, with one thing changed.
async fn update(fake: &Fake, autolock: bool, query: &str) -> u16 {
    let swarm = get(fake, "/swarm").await.json();
    let mut spec = swarm["Spec"].clone();
    spec["EncryptionConfig"]["AutoLockManagers"] = autolock.into();
    let version = &swarm["Version"]["Index"];
    let path = format!("/swarm/update?version={version}{query}");
    post(fake, &path, &spec).await.status
}

async fn is_locked(fake: &Fake) -> Value {
    get(fake, "/swarm").await.json()["Spec"]["EncryptionConfig"]["AutoLockManagers"].clone()
}

#[tokio::test]
async fn autolock_is_turned_on_and_off() {
    let fake = Fake::active();
    assert_eq!(shown_key(&fake).await, "");
    assert_eq!(is_locked(&fake).await, false);
    // Nothing is rotated where there is nothing.
    assert_eq!(
        update(&fake, false, "&rotateManagerUnlockKey=true").await,
        200
    );
    assert_eq!(shown_key(&fake).await, "");

    assert_eq!(update(&fake, true, "").await, 200);
    assert_eq!(shown_key(&fake).await, key());
    assert_eq!(is_locked(&fake).await, true);

    assert_eq!(update(&fake, false, "").await, 200);
    assert_eq!(shown_key(&fake).await, "");
}

#[tokio::test]
async fn only_a_rotation_replaces_the_key() {
    let fake = Fake::active();
    assert_eq!(update(&fake, true, "").await, 200);
    let old = services::object::UnlockKey([1; 32]);
    let key_of = |fake: &Fake| fake.edit(|swarm| swarm.state.cluster().unwrap().unlock_key.clone());
    let set = services::Command::SetUnlockKey {
        key: Some(old.clone()),
    };
    fake.edit(|swarm| swarm.apply(set)).unwrap();
    assert_eq!(update(&fake, true, "&rotateWorkerToken=true").await, 200);
    assert_eq!(key_of(&fake), Some(old));
    assert_eq!(
        update(&fake, true, "&rotateManagerUnlockKey=true").await,
        200
    );
    assert_eq!(shown_key(&fake).await, key());
}

#[tokio::test]
async fn the_key_is_in_no_other_answer() {
    let fake = Fake::active();
    assert_eq!(update(&fake, true, "").await, 200);
    for path in [
        "/swarm",
        "/info",
        "/nodes",
        "/services",
        "/swarmlet/members",
    ] {
        let text = String::from_utf8(get(&fake, path).await.body).unwrap();
        assert!(!text.contains("SWMKEY"), "{path}: {text}");
    }
}

fn locked() -> Fake {
    let fake = Fake::active();
    fake.edit(|swarm| swarm.local = LocalState::Locked);
    fake
}

#[tokio::test]
async fn a_locked_node_says_so_and_what_to_do() {
    let fake = locked();
    let info = get(&fake, "/info").await.json();
    assert_eq!(info["Swarm"]["LocalNodeState"], "locked");
    assert_eq!(info["Swarm"]["Error"], texts::LOCKED);
    assert_eq!(info["Swarm"]["ControlAvailable"], false);
    assert_eq!(get(&fake, "/_ping").await.headers["swarm"], "locked");
    for path in [
        "/swarm",
        "/nodes",
        "/services",
        "/tasks",
        "/secrets",
        "/swarm/unlockkey",
    ] {
        let answer = get(&fake, path).await;
        assert_eq!(
            (answer.status, answer.message()),
            (503, texts::LOCKED.into())
        );
    }
}

#[tokio::test]
async fn a_locked_node_is_unlocked_by_the_key_alone() {
    let fake = locked();
    let wrong = UnlockKey::from_bytes([7; 32]).to_text().to_string();
    for (key, status, message) in [
        ("", 400, "invalid key string"),
        ("SWMKEY-1-x", 400, "invalid key string"),
        (
            &wrong,
            401,
            "swarm could not be unlocked: invalid key provided",
        ),
    ] {
        let answer = post(&fake, "/swarm/unlock", &json!({"UnlockKey": key})).await;
        assert_eq!((answer.status, answer.message()), (status, message.into()));
    }
    let right = json!({"UnlockKey": key()});
    assert_eq!(post(&fake, "/swarm/unlock", &right).await.status, 200);
    assert_eq!(get(&fake, "/services").await.status, 200);
    let again = post(&fake, "/swarm/unlock", &right).await;
    assert_eq!(
        (again.status, again.message()),
        (409, "swarm is not locked".into())
    );
}
