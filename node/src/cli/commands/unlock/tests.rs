use serde_json::{Value, json};

use crate::cli::commands::fake::Daemon;

const KEY: &str = "SWMKEY-1-QefwcEg1VZAvl1uKmhH8OReM6i+CqWMWv6bgF0F/tvU";

fn info(state: &str) -> Value {
    json!({"Name": "h1", "Swarm": {"LocalNodeState": state}})
}

fn swarm(autolock: bool) -> Value {
    json!({"ID": "c", "Version": {"Index": 10},
           "Spec": {"Name": "default", "EncryptionConfig": {"AutoLockManagers": autolock}},
           "JoinTokens": {"Worker": "SWMTKN-w", "Manager": "SWMTKN-m"}})
}

fn shown() -> Value {
    json!({"UnlockKey": KEY})
}

#[tokio::test]
async fn the_key_is_read_from_standard_input() {
    let daemon = Daemon::start(&[
        ("GET /info", 200, info("locked")),
        ("POST /swarm/unlock", 200, json!("")),
    ]);
    let ended = daemon.run_with(&["unlock"], &format!("{KEY}\n")).await;
    ended.result.unwrap();
    assert_eq!((ended.out.as_str(), ended.err.as_str()), ("", ""));
    let asked = format!("POST /swarm/unlock {{\"UnlockKey\":\"{KEY}\"}}");
    assert_eq!(daemon.changes(), [asked]);
}

#[tokio::test]
async fn a_node_that_is_not_locked_is_not_asked_to_unlock() {
    for (state, why) in [
        ("active", "swarm is not locked"),
        ("inactive", "this node is not part of a swarm"),
    ] {
        let daemon = Daemon::start(&[("GET /info", 200, info(state))]);
        let error = daemon.run(&["unlock"]).await.result.unwrap_err();
        assert_eq!(error.to_string(), why);
        assert!(daemon.changes().is_empty());
    }
}

#[tokio::test]
async fn a_refused_key_is_not_repeated() {
    let refusal = json!({"message": "swarm could not be unlocked: invalid key provided"});
    let daemon = Daemon::start(&[
        ("GET /info", 200, info("locked")),
        ("POST /swarm/unlock", 401, refusal),
    ]);
    let error = daemon.run_with(&["unlock"], KEY).await.result.unwrap_err();
    assert!(!error.to_string().contains("SWMKEY"), "{error}");
    assert!(error.hint().unwrap().contains("unlock-key"));
}

#[tokio::test]
async fn the_key_is_shown_and_rotated() {
    let daemon = Daemon::start(&[
        ("GET /swarm", 200, swarm(true)),
        ("POST /swarm/update", 200, json!("")),
        ("GET /swarm/unlockkey", 200, shown()),
    ]);
    let ended = daemon.run(&["unlock-key", "-q"]).await;
    ended.result.unwrap();
    assert_eq!(ended.out, format!("{KEY}\n"));

    let ended = daemon.run(&["unlock-key", "--rotate"]).await;
    ended.result.unwrap();
    let expected = format!("Successfully rotated manager unlock key.\n\n{}", command());
    assert_eq!(ended.out, expected);
    let change = &daemon.changes()[0];
    let update = "POST /swarm/update?version=10&rotateManagerUnlockKey=true ";
    assert!(change.starts_with(update), "{change}");
    assert!(change.contains("\"AutoLockManagers\":true"), "{change}");
}

fn command() -> String {
    format!(
        "To unlock a swarm manager after it restarts, run the `swarmlet unlock`\n\
         command and provide the following key:\n\n    {KEY}\n\n\
         Remember to store this key in a password manager, since without it you\n\
         will not be able to restart the manager.\n"
    )
}

#[tokio::test]
async fn a_swarm_without_autolock_has_no_key() {
    let daemon = Daemon::start(&[
        ("GET /swarm", 200, swarm(false)),
        ("GET /swarm/unlockkey", 200, json!({"UnlockKey": ""})),
    ]);
    let error = daemon.run(&["unlock-key"]).await.result.unwrap_err();
    assert_eq!(error.to_string(), "no unlock key is set");
    let error = daemon.run(&["unlock-key", "--rotate"]).await;
    let error = error.result.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot rotate because autolock is not turned on"
    );
    assert!(daemon.changes().is_empty());
}

#[tokio::test]
async fn whoever_turns_autolock_on_is_shown_the_key() {
    let daemon = Daemon::start(&[
        ("GET /swarm", 200, swarm(false)),
        ("POST /swarm/update", 200, json!("")),
        ("GET /swarm/unlockkey", 200, shown()),
    ]);
    for line in [["update", "--autolock"], ["update", "--autolock=true"]] {
        let ended = daemon.run(&line).await;
        ended.result.unwrap();
        assert_eq!(ended.out, format!("Swarm updated.\n{}", command()));
    }
    let ended = daemon.run(&["update", "--autolock=false"]).await;
    ended.result.unwrap();
    assert_eq!(ended.out, "Swarm updated.\n");
    let said: Vec<bool> = daemon
        .changes()
        .iter()
        .map(|change| change.contains("\"AutoLockManagers\":true"))
        .collect();
    assert_eq!(said, [true, true, false]);
}
