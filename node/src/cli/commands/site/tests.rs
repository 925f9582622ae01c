//! Against a daemon that is played.

use serde_json::json;

use crate::cli::commands::fake::Daemon;

#[tokio::test]
async fn up_tells_how_the_device_gets_on_until_it_is_part_of_a_swarm() {
    let waiting = |message: &str| json!({"State": "waiting", "Message": message});
    let joined =
        json!({"State": "joined", "Message": "Joined swarm abc through node-a (10.0.0.1:2377)"});
    let daemon = Daemon::start(&[
        ("GET /_ping", 200, json!("OK")),
        ("POST /swarmlet/up", 200, json!({})),
        ("GET /swarmlet/up", 200, waiting("Waiting… none found yet")),
        ("GET /swarmlet/up", 200, waiting("Waiting… none found yet")),
        ("GET /swarmlet/up", 200, waiting("Waiting… 2 found")),
        ("GET /swarmlet/up", 200, joined),
    ]);
    let line = [
        "up",
        "--site-key",
        "k",
        "--managers",
        "5",
        "--label",
        "zone=a",
    ];
    let ended = daemon.run(&line).await;
    ended.result.unwrap();
    insta::assert_snapshot!(ended.out, @r"
    Waiting… none found yet
    Waiting… 2 found
    Joined swarm abc through node-a (10.0.0.1:2377)
    ");
    let asked = &daemon.changes()[0];
    assert!(
        asked.contains(r#""SiteKey":"k","Managers":5,"Labels":{"zone":"a"}"#),
        "{asked}"
    );
}

#[tokio::test]
async fn up_ends_with_what_to_do_where_there_are_two_swarms() {
    let conflict =
        json!({"State": "conflict", "Message": "two swarms of this site are in reach: …"});
    let daemon = Daemon::start(&[
        ("GET /_ping", 200, json!("OK")),
        ("POST /swarmlet/up", 200, json!({})),
        ("GET /swarmlet/up", 200, conflict),
    ]);
    let error = daemon
        .run(&["up", "--site-key", "k"])
        .await
        .result
        .unwrap_err();
    assert!(
        error.to_string().contains("This device joins neither"),
        "{error}"
    );
    let detached = daemon.run(&["up", "--site-key", "k", "--detach"]).await;
    detached.result.unwrap();
    assert!(
        detached.out.contains("in the background"),
        "{}",
        detached.out
    );
}

#[tokio::test]
async fn a_join_without_an_address_says_what_it_found() {
    let daemon = Daemon::start(&[
        ("GET /_ping", 200, json!("OK")),
        (
            "POST /swarm/join",
            200,
            json!({"Through": "node-a (10.0.0.1:2377)"}),
        ),
        ("GET /info", 200, json!({"Swarm": {"NodeID": "x"}})),
    ]);
    let ended = daemon.run(&["join", "--token", "t"]).await;
    ended.result.unwrap();
    insta::assert_snapshot!(ended.out, @r"
    Found the swarm at node-a (10.0.0.1:2377).
    This node joined a swarm as a worker.
    ");
}

#[tokio::test]
async fn every_site_key_is_long_enough_and_another_one() {
    let daemon = Daemon::start(&[]);
    let first = daemon.run(&["site-key"]).await.out;
    assert!(first.trim().len() >= certs::MIN_SITE_KEY, "{first}");
    assert_ne!(first, daemon.run(&["site-key"]).await.out);
}
