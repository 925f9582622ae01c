//! Tells the other nodes where the containers of users are on this one, and by
//! which names; and our name server, whom else they ask.
//!
//! Where a container is counts at once; how it is called, only the engine knows,
//! and it says so once it has started the container.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{BoxStream, FuturesUnordered, unfold};
use gossip::facts::{MAX_NAMES, MAX_TEXT};
use gossip::{Endpoint, Ticket};
use overlay::directory::NO_SERVICE;
use overlay::plugin::{Attached, AttachmentId};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::backoff::Backoff;
use crate::runtime::{Called, Runtime};
use crate::waiting::or_never;
use crate::worker::Resolvers;

/// By task and network, as in gossip's facts.
pub type Endpoints = BTreeMap<(u128, u128), Endpoint>;
/// Containers of users.
pub type Attachments = Arc<BTreeMap<AttachmentId, Attached>>;
/// By what the engine calls the container's place on the network.
type Known = BTreeMap<String, Called>;

/// Gossip and the overlay do not know each other.
const _: () = assert!(NO_SERVICE == gossip::facts::NO_SERVICE);

const ASK_AGAIN: Duration = Duration::from_millis(100);
/// The engine may be busy with the container's start.
const MAX_ASK_AGAIN: Duration = Duration::from_secs(10);

/// After the engine's last word, to listen to it again.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// Tells `announce` whatever changes, until it is dropped.
pub async fn run(
    mut attached: watch::Receiver<Attachments>,
    runtime: Arc<dyn Runtime>,
    announce: impl Fn(Endpoints, Resolvers),
) {
    let mut known = Known::new();
    // Whom the engine is being asked for, and whose answer is out of date.
    let (mut asked, mut renamed) = (BTreeSet::new(), BTreeSet::new());
    let mut answers = FuturesUnordered::new();
    let mut renames = None;
    let mut told = None;
    loop {
        let now = attached.borrow_and_update().clone();
        known.retain(|endpoint, _| is_here(&now, endpoint));
        asked.retain(|endpoint: &String| is_here(&now, endpoint));
        renamed.retain(|endpoint: &String| is_here(&now, endpoint));
        // Before anybody is asked for, so that no name is missed.
        match now.is_empty() {
            true => renames = None,
            false => _ = renames.get_or_insert_with(|| listen(Arc::clone(&runtime))),
        }
        for found in now.values() {
            let endpoint = &found.endpoint;
            let is_unknown = !known.contains_key(endpoint) || renamed.contains(endpoint);
            if is_unknown && asked.insert(endpoint.clone()) {
                renamed.remove(endpoint);
                answers.push(ask(&*runtime, attached.clone(), found.clone()));
            }
        }
        let news = (endpoints(&now, &known), resolvers(&now, &known));
        if told.as_ref() != Some(&news) {
            let (endpoints, resolvers) = news.clone();
            announce(endpoints, resolvers);
            told = Some(news);
        }
        tokio::select! {
            changed = attached.changed() => if changed.is_err() { return },
            Some(answer) = answers.next() => {
                if let Some((endpoint, found)) = answer {
                    asked.remove(&endpoint);
                    known.insert(endpoint, found);
                }
            }
            container = or_never(renames.as_mut().map(StreamExt::next)) => {
                let container = container.flatten();
                let is_it = |called: &Called| container.as_ref().is_none_or(|it| *it == called.container);
                let endpoints = now.values().map(|found| &found.endpoint);
                let outdated = endpoints.filter(|it| known.get(*it).is_none_or(is_it));
                renamed.extend(outdated.cloned());
            }
        }
    }
}

/// What the others are told.
fn endpoints(attached: &BTreeMap<AttachmentId, Attached>, known: &Known) -> Endpoints {
    let endpoint = |(id, found): (&AttachmentId, &Attached)| {
        let called = known.get(&found.endpoint).cloned().unwrap_or_default();
        let endpoint = Endpoint {
            service: NO_SERVICE,
            addrs: found.addrs.clone(),
            ready: true,
            names: bounded(called.names),
            ticket: Ticket {
                signature: found.ticket.clone(),
            },
        };
        ((*id, found.network), endpoint)
    };
    attached.iter().map(endpoint).collect()
}

fn resolvers(attached: &BTreeMap<AttachmentId, Attached>, known: &Known) -> Resolvers {
    let wanted = |found: &Attached| {
        let wanted = &known.get(&found.endpoint)?.resolv;
        let addr = *found.addrs.first()?;
        (!wanted.servers.is_empty()).then(|| (addr, wanted.clone()))
    };
    attached.values().filter_map(wanted).collect()
}

/// The containers that are renamed, without end; `None`: some may have been that
/// nobody told of.
fn listen(runtime: Arc<dyn Runtime>) -> BoxStream<'static, Option<String>> {
    let events = runtime.renames();
    unfold((runtime, events), |(runtime, mut events)| async {
        if let Some(Ok(container)) = events.next().await {
            return Some((Some(container), (runtime, events)));
        }
        sleep(LISTEN_AGAIN).await;
        let events = runtime.renames();
        Some((None, (runtime, events)))
    })
    .boxed()
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

/// Asks the engine until it knows, or the container is here no more.
async fn ask(
    runtime: &dyn Runtime,
    attached: watch::Receiver<Attachments>,
    found: Attached,
) -> Option<(String, Called)> {
    let (network, endpoint) = (found.engine_network, found.endpoint);
    let mut backoff = Backoff::new(ASK_AGAIN, MAX_ASK_AGAIN);
    let mut is_said = false;
    while is_here(&attached.borrow(), &endpoint) {
        match runtime.called(&network, &endpoint).await {
            Ok(Some(called)) => return Some((endpoint, called)),
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, "the engine does not say how a container is called")
            }
        }
        let pause = backoff.pause();
        if pause == MAX_ASK_AGAIN && !std::mem::replace(&mut is_said, true) {
            tracing::warn!(
                network,
                endpoint,
                "a container is on the network, but the engine does not say how it is called"
            );
        }
        sleep(pause).await;
    }
    None
}

fn is_here(attached: &Attachments, endpoint: &str) -> bool {
    attached.values().any(|it| it.endpoint == endpoint)
}

#[cfg(test)]
mod tests {
    use overlay::dns::resolv::Wanted;

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

    fn called(names: &[&str], servers: &[&str]) -> Called {
        Called {
            container: "c".to_owned(),
            names: texts(names),
            resolv: Wanted {
                servers: servers.iter().map(|it| it.parse().unwrap()).collect(),
                ..Wanted::default()
            },
        }
    }

    #[test]
    fn a_container_is_announced_before_its_name_is_known() {
        let here = BTreeMap::from([(1, attached("e"))]);
        let before = endpoints(&here, &Known::new());
        let endpoint = &before[&(1, 5)];
        assert_eq!((endpoint.service, endpoint.ready), (NO_SERVICE, true));
        assert_eq!(endpoint.ticket.signature, [1]);
        assert!(endpoint.names.is_empty());
        let known = Known::from([("e".to_owned(), called(&["probe"], &[]))]);
        assert_eq!(endpoints(&here, &known)[&(1, 5)].names, ["probe"]);
        assert_eq!(resolvers(&here, &known), Resolvers::new());
    }

    #[test]
    fn servers_of_its_own_are_asked_for_it() {
        let here = BTreeMap::from([(1, attached("e"))]);
        let called = called(&[], &["192.0.2.53"]);
        let resolv = called.resolv.clone();
        let known = Known::from([("e".to_owned(), called)]);
        let addr = "10.0.5.7".parse().unwrap();
        assert_eq!(resolvers(&here, &known), [(addr, resolv)].into());
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
    async fn an_engine_that_is_slow_is_asked_again() {
        let runtime = Arc::new(crate::runtime::fake::FakeRuntime::default());
        let here = watch::Sender::new(Arc::new(BTreeMap::from([(1, attached("e"))])));
        let asking = tokio::spawn({
            let (runtime, attached) = (Arc::clone(&runtime), here.subscribe());
            async move { ask(&*runtime, attached, self::attached("e")).await }
        });
        sleep(ASK_AGAIN / 2).await;
        assert!(!asking.is_finished());
        runtime.set_called("e", called(&["probe"], &[]));
        let (endpoint, found) = asking.await.unwrap().unwrap();
        assert_eq!(
            (endpoint.as_str(), &found.names[..]),
            ("e", &texts(&["probe"])[..])
        );
        // One that is gone is nobody to ask for.
        here.send_replace(Arc::default());
        let gone = ask(&*runtime, here.subscribe(), attached("x")).await;
        assert_eq!(gone, None);
    }

    #[tokio::test]
    async fn a_container_that_is_renamed_is_announced_by_its_new_name() {
        let runtime = Arc::new(crate::runtime::fake::FakeRuntime::default());
        runtime.set_called("e", called(&["probe"], &[]));
        let here = watch::Sender::new(Arc::new(BTreeMap::from([(1, attached("e"))])));
        let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let announce = move |endpoints: Endpoints, _: Resolvers| said.send(endpoints).unwrap();
        let running = tokio::spawn(run(here.subscribe(), runtime.clone(), announce));
        let mut hears = async |names: &[&str]| {
            while heard.recv().await.unwrap()[&(1, 5)].names != names {}
        };
        hears(&["probe"]).await;
        runtime.rename("e", called(&["sonde"], &[]));
        hears(&["sonde"]).await;
        // Or while nobody could be heard.
        runtime.set_called("e", called(&["fuehler"], &[]));
        runtime.disconnect();
        hears(&["fuehler"]).await;
        running.abort();
    }

    #[tokio::test]
    async fn what_is_announced_follows_the_containers() {
        let runtime = Arc::new(crate::runtime::fake::FakeRuntime::default());
        runtime.set_called("e", called(&["probe", "alias"], &[]));
        let here = watch::Sender::new(Arc::new(BTreeMap::from([(1, attached("e"))])));
        let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let announce = move |endpoints: Endpoints, _: Resolvers| said.send(endpoints).unwrap();
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
