//! Tells the other nodes where the containers of users are on this one, and by
//! which names.
//!
//! Where a container is counts at once; how it is called, only the engine knows,
//! and it says so once it has started the container.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use gossip::facts::{MAX_NAMES, MAX_TEXT};
use gossip::{Endpoint, Ticket};
use overlay::directory::NO_SERVICE;
use overlay::plugin::{Attached, AttachmentId};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::runtime::Runtime;

/// By task and network, as in gossip's facts.
pub type Endpoints = BTreeMap<(u128, u128), Endpoint>;
/// By what the engine calls the container's place on the network.
type Names = BTreeMap<String, Vec<String>>;

const ASK_AGAIN: Duration = Duration::from_millis(100);
/// The engine may be busy with the container's start.
const MAX_ASK_AGAIN: Duration = Duration::from_secs(10);

/// Tells `announce` whatever changes, until it is dropped.
pub async fn run(
    mut attached: watch::Receiver<Arc<BTreeMap<AttachmentId, Attached>>>,
    runtime: Arc<dyn Runtime>,
    announce: impl Fn(Endpoints),
) {
    let mut names = Names::new();
    let mut asked = BTreeSet::new();
    let mut answers = FuturesUnordered::new();
    let mut told = None;
    loop {
        let now = attached.borrow_and_update().clone();
        let is_here = |endpoint: &String| now.values().any(|it| it.endpoint == *endpoint);
        names.retain(|endpoint, _| is_here(endpoint));
        asked.retain(is_here);
        for found in now.values() {
            if asked.insert(found.endpoint.clone()) {
                answers.push(names_of(&*runtime, found.clone()));
            }
        }
        let endpoints = endpoints(&now, &names);
        if told.as_ref() != Some(&endpoints) {
            announce(endpoints.clone());
            told = Some(endpoints);
        }
        tokio::select! {
            changed = attached.changed() => if changed.is_err() { return },
            Some(answer) = answers.next() => {
                if let Some((endpoint, found)) = answer {
                    names.insert(endpoint, found);
                }
            }
        }
    }
}

/// What the others are told.
fn endpoints(attached: &BTreeMap<AttachmentId, Attached>, names: &Names) -> Endpoints {
    let endpoint = |(id, found): (&AttachmentId, &Attached)| {
        let names = names.get(&found.endpoint).cloned().unwrap_or_default();
        let endpoint = Endpoint {
            service: NO_SERVICE,
            addrs: found.addrs.clone(),
            ready: true,
            names: bounded(names),
            ticket: Ticket {
                signature: found.ticket.clone(),
            },
        };
        ((*id, found.network), endpoint)
    };
    attached.iter().map(endpoint).collect()
}

/// Each once, and no more than others take.
fn bounded(names: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let names = names.into_iter();
    let fitting = names.filter(|name| !name.is_empty() && name.len() <= MAX_TEXT);
    fitting
        .filter(|name| seen.insert(name.to_lowercase()))
        .take(MAX_NAMES)
        .collect()
}

/// Asks the engine until it knows, or has no such container any more.
async fn names_of(runtime: &dyn Runtime, found: Attached) -> Option<(String, Vec<String>)> {
    let mut pause = ASK_AGAIN;
    while pause <= MAX_ASK_AGAIN {
        match runtime.names(&found.engine_network, &found.endpoint).await {
            Ok(Some(names)) => return Some((found.endpoint, names)),
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, "the engine does not say how a container is called")
            }
        }
        sleep(pause).await;
        pause *= 2;
    }
    tracing::warn!(
        network = found.engine_network,
        endpoint = found.endpoint,
        "a container is on the network, but the engine does not say how it is called"
    );
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attached(endpoint: &str) -> Attached {
        Attached {
            network: 5,
            addrs: vec!["10.0.5.7".parse().unwrap()],
            ticket: vec![1],
            endpoint: endpoint.to_owned(),
            engine_network: "n".to_owned(),
        }
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_container_is_announced_before_its_name_is_known() {
        let here = BTreeMap::from([(1, attached("e"))]);
        let before = endpoints(&here, &Names::new());
        let endpoint = &before[&(1, 5)];
        assert_eq!((endpoint.service, endpoint.ready), (NO_SERVICE, true));
        assert_eq!(endpoint.ticket.signature, [1]);
        assert!(endpoint.names.is_empty());
        let names = Names::from([("e".to_owned(), texts(&["probe"]))]);
        assert_eq!(endpoints(&here, &names)[&(1, 5)].names, ["probe"]);
    }

    #[test]
    fn names_are_said_once_and_within_bounds() {
        let long = "a".repeat(MAX_TEXT + 1);
        let names = bounded(texts(&["web", "", &long, "WEB", "db"]));
        assert_eq!(names, ["web", "db"]);
        let many: Vec<String> = (0..99).map(|n| format!("n{n}")).collect();
        assert_eq!(bounded(many.clone()), many[..MAX_NAMES]);
    }

    #[tokio::test]
    async fn what_is_announced_follows_the_containers() {
        let runtime = Arc::new(crate::runtime::fake::FakeRuntime::default());
        runtime.set_names("e", &["probe", "alias"]);
        let here = watch::Sender::new(Arc::new(BTreeMap::from([(1, attached("e"))])));
        let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let announce = move |endpoints: Endpoints| said.send(endpoints).unwrap();
        let running = tokio::spawn(run(here.subscribe(), runtime, announce));
        assert!(heard.recv().await.unwrap()[&(1, 5)].names.is_empty());
        assert_eq!(
            heard.recv().await.unwrap()[&(1, 5)].names,
            ["probe", "alias"]
        );
        here.send_replace(Arc::default());
        assert_eq!(heard.recv().await.unwrap(), Endpoints::new());
        running.abort();
    }
}
