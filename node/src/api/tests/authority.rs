//! Another CA, as the docker program asks for it and watches it.

use serde_json::{Value, json};
use services::NodeTrust;

use super::fake::{Fake, TRUST_ROOT};
use super::{get, post};

/// Sends the spec that is shown back, changed.
async fn update(fake: &Fake, change: impl FnOnce(&mut Value)) -> (u16, String) {
    let mut swarm = get(fake, "/swarm").await.json();
    let version = swarm["Version"]["Index"].as_u64().unwrap();
    change(&mut swarm["Spec"]["CAConfig"]);
    let path = format!("/swarm/update?version={version}");
    let answer = post(fake, &path, &swarm["Spec"]).await;
    match answer.status {
        200 => (200, String::new()),
        status => (status, answer.message()),
    }
}

fn is_rotating(fake: &Fake) -> bool {
    fake.edit(|swarm| swarm.state.rotation().is_some())
}

#[tokio::test]
async fn a_larger_number_asks_for_another_ca_and_the_same_one_does_not() {
    let fake = Fake::active();
    assert_eq!(update(&fake, |_| {}).await.0, 200);
    assert!(!is_rotating(&fake));
    assert_eq!(
        update(&fake, |ca| ca["ForceRotate"] = json!(1)).await.0,
        200
    );
    assert!(is_rotating(&fake));
    let swarm = get(&fake, "/swarm").await.json();
    assert_eq!(swarm["RootRotationInProgress"], true);
    assert_eq!(swarm["Spec"]["CAConfig"]["ForceRotate"], 1);
    assert_eq!(swarm["TLSInfo"]["TrustRoot"], TRUST_ROOT, "until the end");

    // Who knows nothing of it does not undo it, and asks for none either.
    fake.edit(|swarm| swarm.authorities.next = None);
    let ended = update(&fake, |ca| {
        ca.as_object_mut().unwrap().remove("ForceRotate");
    });
    assert_eq!(ended.await.0, 200);
    let swarm = get(&fake, "/swarm").await.json();
    assert_eq!(swarm["Spec"]["CAConfig"]["ForceRotate"], 1);
}

#[tokio::test]
async fn a_ca_of_the_users_own_is_taken_whole_and_shown_by_nobody() {
    let fake = Fake::active();
    let own = |ca: &mut Value| {
        ca["SigningCACert"] = json!("own");
        ca["SigningCAKey"] = json!("hush");
    };
    assert_eq!(update(&fake, own).await.0, 200);
    let rotation = fake.edit(|swarm| swarm.state.rotation().cloned()).unwrap();
    assert_eq!(rotation.next.certificate, "own");
    let shown = get(&fake, "/swarm").await.json().to_string();
    assert!(
        !shown.contains("hush") && !shown.contains("SigningCA"),
        "{shown}"
    );

    let (status, message) = update(&fake, |ca| ca["SigningCAKey"] = json!("hush")).await;
    assert_eq!(status, 400);
    insta::assert_snapshot!(message, @"rpc error: code = InvalidArgument desc = if a signing CA key is provided, the signing CA cert must also be provided");
    let (status, message) = update(&fake, |ca| ca["SigningCACert"] = json!("own")).await;
    assert_eq!(status, 400);
    assert!(
        message.contains("external certificate authorities"),
        "{message}"
    );
}

#[tokio::test]
async fn a_node_shows_what_it_has_of_both_cas() {
    let fake = Fake::active();
    update(&fake, |ca| ca["ForceRotate"] = json!(1)).await;
    let shown = async |issuer, roots: &[[u8; 32]]| {
        fake.edit(|swarm| {
            swarm
                .authorities
                .next
                .as_mut()
                .unwrap()
                .info
                .cert_issuer_subject = "next".into();
            let id = swarm.state.nodes().next().unwrap().id;
            let trust = NodeTrust {
                roots: roots.to_vec(),
                issuer,
                has_tickets: true,
            };
            swarm.observed.trust.insert(id, trust);
        });
        let nodes = get(&fake, "/nodes").await.json();
        let tls = &nodes[0]["Description"]["TLSInfo"];
        let text = |key: &str| tls[key].as_str().unwrap_or_default().to_owned();
        (text("CertIssuerSubject"), text("TrustRoot"))
    };
    let (old, new) = ([1; 32], [2; 32]);
    let subject = get(&fake, "/swarm").await.json()["TLSInfo"].clone();
    assert_eq!(subject["TrustRoot"], TRUST_ROOT);
    let (issuer, root) = shown(Some(old), &[old]).await;
    assert_eq!(
        (issuer.as_str(), root.as_str()),
        ("MBMxETAPBgNVBAMTCHN3YXJtLWNh", TRUST_ROOT)
    );
    let (issuer, root) = shown(Some(new), &[old, new]).await;
    assert_eq!((issuer.as_str(), root.as_str()), ("next", TRUST_ROOT));
    let (issuer, root) = shown(Some(new), &[new]).await;
    assert_eq!((issuer.as_str(), root.as_str()), ("next", "made"));
}
