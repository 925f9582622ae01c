//! What this device says of itself on the LAN, as long as the daemon runs; and
//! what a manager tells devices of its site that cannot hear it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use certs::{ClusterId, SiteSecret};
use futures::future::join_all;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::form::Forming;
use super::host::Founded;
use super::lan::{Announcement, Lan};
use super::progress::{conflict, short};
use super::proof::{Link, SiteAnswer, SiteRequest};
use super::view::{Says, View};
use crate::membership::Membership;
use crate::swarm::Phase;

/// A new role shows in the announcement within this time.
const LOOK: Duration = Duration::from_secs(5);
/// While devices of the site are about that are in no swarm yet, or in another.
const GREET: Duration = Duration::from_secs(1);
const GREET_WITHIN: Duration = Duration::from_secs(2);
/// Devices greeted at once.
const MAX_GREETED: usize = 16;

/// Runs until it is dropped, or `swarm` is.
pub async fn run<T>(swarm: Weak<T>, lan: Arc<dyn Lan>, mut phase: watch::Receiver<Phase>) {
    let mut changes = lan.changes();
    let mut told = BTreeSet::new();
    while swarm.strong_count() > 0 {
        let now = phase.borrow_and_update().clone();
        lan.announce(announcement(&now));
        let mut next = LOOK;
        if let Phase::Active(membership) = &now
            && greet(membership, &*lan, &mut told).await
        {
            next = GREET;
        }
        drop(now);
        let changed = async {
            tokio::select! {
                changed = phase.changed() => changed.is_ok(),
                () = sleep(next) => true,
                changed = changes.changed(), if next == LOOK => changed.is_ok(),
            }
        };
        if !changed.await {
            return;
        }
    }
}

/// What others may hear of a device in this phase.
pub fn announcement(phase: &Phase) -> Option<Announcement> {
    match phase {
        Phase::Waiting(forming) => waiting(forming),
        Phase::Active(membership) => member(membership),
        Phase::Resuming | Phase::Inactive | Phase::Locked(_) | Phase::Failed(_) => None,
    }
}

fn waiting(forming: &Forming) -> Option<Announcement> {
    Some(Announcement {
        key: forming.key().public_key().try_into().ok()?,
        port: forming.port(),
        swarm: None,
        site: Some(forming.options().secret.tag()),
    })
}

fn member(membership: &Membership) -> Option<Announcement> {
    let identity = membership.credentials.identity();
    Some(Announcement {
        key: identity.key().public_key().try_into().ok()?,
        port: membership.control.port().ok()?,
        swarm: Some(identity.root().digest()),
        site: site_of(membership).map(|(secret, _)| secret.tag()),
    })
}

/// Of a manager, which can let devices of the site in.
fn site_of(membership: &Membership) -> Option<(SiteSecret, View)> {
    let manager = membership.manager()?;
    Founded { manager }.site()
}

/// Tells devices of the site about this swarm, and looks at the swarm that
/// those are in who have one. Whether there was anyone to tell.
async fn greet(membership: &Membership, lan: &dyn Lan, told: &mut BTreeSet<ClusterId>) -> bool {
    let Some((secret, view)) = site_of(membership) else {
        return false;
    };
    let (tag, own) = (
        secret.tag(),
        membership.credentials.identity().root().digest(),
    );
    let found = lan.found();
    let strangers: Vec<SocketAddr> = found
        .iter()
        .filter(|found| found.site == Some(tag) && found.swarm != Some(own))
        .map(|found| found.addr)
        .take(MAX_GREETED)
        .collect();
    let Ok(port) = membership.control.port() else {
        return false;
    };
    let greeted = strangers.iter().map(|addr| async {
        let said = timeout(GREET_WITHIN, tell(&secret, *addr, port, &view)).await;
        (*addr, said.ok().flatten())
    });
    for (addr, said) in join_all(greeted).await {
        if let Some(Says::Formed { cluster, .. }) = said.map(|view| view.says)
            && cluster != membership.credentials.cluster_id()
            && told.insert(cluster)
        {
            let own = (membership.credentials.cluster_id(), membership.addr());
            let both = conflict(&[own, (cluster, addr)]);
            tracing::warn!(other = short(cluster), "{both}");
        }
    }
    !strangers.is_empty()
}

async fn tell(secret: &SiteSecret, addr: SocketAddr, port: u16, view: &View) -> Option<View> {
    let mut link = Link::open(secret, addr).await.ok()?;
    let view = view.clone();
    match link.ask(&SiteRequest::Exchange { port, view }).await.ok()? {
        SiteAnswer::View(view) => Some(view),
        _ => None,
    }
}
