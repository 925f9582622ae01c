//! Forming a swarm without addresses, as the API is asked for it.

use serde_json::json;

use super::fake::Fake;
use super::{get, post};
use crate::api::backend::LocalState;

#[tokio::test]
async fn what_up_is_asked_reaches_the_node() {
    let fake = Fake::new();
    let asked = json!({
        "SiteKey": "k", "Managers": 5, "Labels": {"Zone": "a"}, "ListenAddr": "10.0.0.7",
        "AdvertiseAddr": "eth7", "Availability": "pause",
    });
    let answer = post(&fake, "/swarmlet/up", &asked).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    assert_eq!(answer.json()["State"], "waiting");
    fake.edit(|swarm| {
        let asked = swarm.up.take().unwrap();
        assert_eq!((asked.key.as_str(), asked.managers), ("k", 5));
        assert_eq!(asked.labels["Zone"], "a");
        assert_eq!(asked.listen.to_string(), "10.0.0.7:2377");
        assert_eq!(asked.advertise.as_deref(), Some("eth7"));
    });
    let info = get(&fake, "/info").await.json();
    assert_eq!(info["Swarm"]["LocalNodeState"], "pending");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_before_the_node_hears_of_it() {
    let fake = Fake::new();
    for (asked, why) in [
        (json!({"SiteKey": "k", "Managers": 2}), "1, 3, 5 or 7"),
        (
            json!({"SiteKey": "k", "AdvertiseAddr": "eth0:x"}),
            "AdvertiseAddr",
        ),
        (json!({"SiteKey": "k", "ListenAddr": "eth0"}), "ListenAddr"),
        (json!({"SiteKey": "k", "Availability": "x"}), "vailability"),
    ] {
        let answer = post(&fake, "/swarmlet/up", &asked).await;
        assert_eq!(answer.status, 400);
        assert!(answer.message().contains(why), "{}", answer.message());
    }
    assert!(fake.edit(|swarm| swarm.up.is_none()));
}

#[tokio::test]
async fn a_node_of_a_swarm_does_not_wait_for_another() {
    let fake = Fake::active();
    let answer = post(&fake, "/swarmlet/up", &json!({"SiteKey": "k"})).await;
    assert_eq!(answer.status, 503);
    assert!(answer.message().contains("already part of a swarm"));
}

#[tokio::test]
async fn a_join_with_nothing_but_a_token_says_where_the_swarm_was_found() {
    let fake = Fake::new();
    let token = "SWMTKN-1-2qwti3sr59m1w0mf8zr6zpn155988qgyvar1eucudl99djcclo-\
                 b2t7gl431ye0qv0kiov47kadp";
    let answer = post(&fake, "/swarm/join", &json!({"JoinToken": token})).await;
    assert_eq!(answer.json()["Through"], "node-a (10.77.0.1:2377)");
    let told = json!({"JoinToken": token, "RemoteAddrs": ["10.77.0.1"]});
    assert!(post(&fake, "/swarm/join", &told).await.body.is_empty());
}

#[tokio::test]
async fn a_waiting_node_can_be_told_to_leave_and_is_no_manager() {
    let fake = Fake::new();
    fake.edit(|swarm| swarm.local = LocalState::Waiting);
    let refused = get(&fake, "/nodes").await;
    assert!(refused.message().contains("not a swarm manager"));
    assert_eq!(
        post(&fake, "/swarm/leave?force=1", &json!({})).await.status,
        200
    );
    assert_eq!(get(&fake, "/swarmlet/discover").await.json(), json!([]));
}
