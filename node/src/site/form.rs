//! Waiting for the others of the site: polls every place where one may be, and
//! does what [`decide`](super::decide) says until this device may found the
//! swarm or has been let into one.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use certs::{Certificate, Identity, NodeKey, RootCertificate, SiteSecret};
use services::spec::{Availability, Labels};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::decide::{Moment, Step};
use super::lan::Lan;
use super::progress::{Progress, Through};
use super::proof::{Link, SiteAnswer, SiteRequest};
use super::seen::Seen;
use super::view::View;
use crate::address;
use crate::control::lock;
use crate::join::Grant;

const POLL: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(250);
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// For a manager to agree with the others on a new node.
const ADMIT_WITHIN: Duration = Duration::from_secs(15);
const JOIN_AGAIN: Duration = Duration::from_secs(1);

/// With what a device waits for its site.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    pub secret: SiteSecret,
    /// How many managers the swarm should have, if this device founds it.
    pub managers: usize,
    /// Of this node.
    pub labels: Labels,
    /// As in [`crate::swarm::InitOptions`].
    pub listen: SocketAddr,
    /// As users write it: an address or an interface, with a port or without.
    pub advertise: Option<String>,
    pub availability: Availability,
}

/// A device that waits.
pub struct Forming {
    key: NodeKey,
    options: Options,
    /// Where it really listens.
    listen: SocketAddr,
    port: AtomicU16,
    began: Instant,
    seen: Mutex<Seen>,
    /// There is something new to decide on.
    news: Notify,
    /// Counts the times when everyone is to be asked at once.
    rounds: watch::Sender<u64>,
    pub cancelled: CancellationToken,
    /// After `cancelled`, or with the swarm.
    pub ended: CancellationToken,
}

/// How the waiting ends.
#[derive(Debug)]
pub enum Verdict {
    /// This device founds the swarm.
    Found,
    Joined(Box<Joined>),
}

#[derive(Debug)]
pub struct Joined {
    pub identity: Identity,
    pub grant: Grant,
    pub through: Through,
}

impl Forming {
    pub fn new(options: Options, listen: SocketAddr) -> Result<Arc<Self>, certs::Error> {
        // A new key for every start: what was promised to the one before is void.
        let key = NodeKey::generate()?;
        let seen = Seen::new(key.node_id(), Moment::ZERO);
        Ok(Arc::new(Self {
            key,
            options,
            listen,
            port: AtomicU16::new(listen.port()),
            began: Instant::now(),
            seen: Mutex::new(seen),
            news: Notify::new(),
            rounds: watch::Sender::new(0),
            cancelled: CancellationToken::new(),
            ended: CancellationToken::new(),
        }))
    }

    pub fn key(&self) -> &NodeKey {
        &self.key
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    pub fn port(&self) -> u16 {
        self.port.load(Ordering::Relaxed)
    }

    pub fn set_port(&self, port: u16) {
        self.port.store(port, Ordering::Relaxed);
    }

    pub fn view(&self) -> View {
        lock(&self.seen).view(self.began.elapsed())
    }

    /// A device that has proven itself answers at `addr` and says this.
    pub fn heard(&self, addr: SocketAddr, view: &View) {
        lock(&self.seen).hear(addr, view, self.began.elapsed());
        self.news.notify_one();
    }

    pub fn founding_failed(&self) {
        lock(&self.seen).founding_failed(self.began.elapsed());
    }

    /// Where others reach this device, as far as it can tell.
    pub fn advertised(&self) -> Result<SocketAddr, String> {
        let listen = self.listen;
        let addr = match &self.options.advertise {
            Some(text) => address::parse(text)?,
            None if !listen.ip().is_unspecified() => listen,
            None => SocketAddr::new(address::guess()?, 0),
        };
        Ok(with_port(addr, self.port()))
    }

    /// Runs until this device may found, or was let in. `tell` hears of every
    /// step.
    pub async fn run(self: &Arc<Self>, lan: &dyn Lan, tell: impl Fn(Progress)) -> Verdict {
        let mut changes = lan.changes();
        let mut couriers = Couriers::default();
        lan.refresh();
        loop {
            let offline = self.advertised().err();
            let (step, progress) = self.step(lan, offline.as_deref());
            tell(progress);
            match step {
                Step::Found => return Verdict::Found,
                Step::Propose => {
                    self.rounds.send_modify(|round| *round += 1);
                    couriers.send(self);
                    continue;
                }
                Step::Join { at, .. } => match self.join(&at).await {
                    Ok(joined) => return Verdict::Joined(Box::new(joined)),
                    Err(error) => {
                        tracing::warn!(%error, "the swarm of the site did not let this device in");
                        sleep(JOIN_AGAIN).await;
                    }
                },
                Step::Wait(_) | Step::Refuse(_) => {}
            }
            couriers.send(self);
            tokio::select! {
                () = self.news.notified() => {}
                _ = changes.changed() => {}
                () = sleep(LOOK) => {}
            }
        }
    }

    /// Tells everyone in reach that this device is founding. One that came
    /// meanwhile and does not see this device would found another swarm.
    pub async fn tell_of_founding(self: &Arc<Self>, lan: &dyn Lan) -> Infallible {
        let mut changes = lan.changes();
        let mut couriers = Couriers::default();
        loop {
            let listed = self.listed(lan);
            let now = self.began.elapsed();
            for addr in &listed {
                lock(&self.seen).list(*addr, now);
            }
            couriers.send(self);
            tokio::select! {
                _ = changes.changed() => {}
                () = sleep(LOOK) => {}
            }
        }
    }

    fn listed(&self, lan: &dyn Lan) -> BTreeSet<SocketAddr> {
        let tag = self.options.secret.tag();
        let me = self.key.node_id();
        lan.found()
            .into_iter()
            .filter(|found| found.site == Some(tag) && found.id != me)
            .map(|found| found.addr)
            .collect()
    }

    fn step(&self, lan: &dyn Lan, offline: Option<&str>) -> (Step, Progress) {
        let listed = self.listed(lan);
        let now = self.began.elapsed();
        let mut seen = lock(&self.seen);
        for addr in &listed {
            seen.list(*addr, now);
        }
        seen.keep_listed(&listed, now);
        seen.set_online(offline.is_none(), now);
        let step = seen.step(now);
        let progress = Progress::of(&step, &seen, offline, now);
        (step, progress)
    }

    async fn join(&self, at: &[SocketAddr]) -> io::Result<Joined> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for addr in at {
            let joining = timeout(ADMIT_WITHIN, self.join_at(*addr)).await;
            match joining.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(joined) => return Ok(joined),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn join_at(&self, addr: SocketAddr) -> io::Result<Joined> {
        let mut link = Link::open(&self.options.secret, addr).await?;
        let said = match &self.options.advertise {
            Some(text) => address::parse(text).map_err(io::Error::other)?,
            None => self.listen,
        };
        let request = SiteRequest::Admit {
            csr: self.key.csr().map_err(io::Error::other)?,
            addr: with_port(said, self.port()),
            availability: self.options.availability,
            labels: self.options.labels.clone(),
        };
        let admission = match link.ask(&request).await? {
            SiteAnswer::Admitted(admission) => admission,
            SiteAnswer::Refused { reason } => return Err(io::Error::other(reason)),
            SiteAnswer::View(_) => return Err(io::ErrorKind::InvalidData.into()),
        };
        let identity = self
            .identity(&admission.grant.certificate, &admission.root)
            .map_err(io::Error::other)?;
        Ok(Joined {
            identity,
            grant: admission.grant,
            through: Through {
                hostname: admission.hostname,
                addr,
            },
        })
    }

    fn identity(&self, certificate: &str, root: &str) -> Result<Identity, certs::Error> {
        let key = NodeKey::from_pkcs8_der(&self.key.to_pkcs8_der()?)?;
        let root = RootCertificate::from_pem(root)?;
        Identity::new(key, Certificate::from_pem(certificate)?, root)
    }
}

/// One task per place, which asks there again and again.
#[derive(Default)]
struct Couriers {
    tasks: JoinSet<SocketAddr>,
    at: BTreeSet<SocketAddr>,
}

impl Couriers {
    fn send(&mut self, forming: &Arc<Forming>) {
        while let Some(ended) = self.tasks.try_join_next() {
            if let Ok(addr) = ended {
                self.at.remove(&addr);
            }
        }
        let places: Vec<SocketAddr> = lock(&forming.seen).places().collect();
        for addr in places {
            if self.at.insert(addr) {
                self.tasks.spawn(ask_there(Arc::clone(forming), addr));
            }
        }
    }
}

/// Ends when the place is forgotten.
async fn ask_there(forming: Arc<Forming>, addr: SocketAddr) -> SocketAddr {
    let mut rounds = forming.rounds.subscribe();
    let mut link = None;
    while lock(&forming.seen).places().any(|place| place == addr) {
        let asked = timeout(ANSWER_WITHIN, ask(&forming, &mut link, addr)).await;
        match asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(view) => forming.heard(addr, &view),
            Err(error) => {
                tracing::debug!(%addr, %error, "a device of the site does not answer");
                link = None;
            }
        }
        tokio::select! {
            () = sleep(POLL) => {}
            _ = rounds.changed() => {}
        }
    }
    addr
}

async fn ask(forming: &Forming, link: &mut Option<Link>, addr: SocketAddr) -> io::Result<View> {
    let open = match link {
        Some(open) => open,
        None => link.insert(Link::open(&forming.options.secret, addr).await?),
    };
    // Made now: an older one would be out of date when it arrives.
    let request = SiteRequest::Exchange {
        port: forming.port(),
        view: forming.view(),
    };
    match open.ask(&request).await? {
        SiteAnswer::View(view) => Ok(view),
        SiteAnswer::Refused { reason } => Err(io::Error::other(reason)),
        SiteAnswer::Admitted(_) => Err(io::ErrorKind::InvalidData.into()),
    }
}

pub fn with_port(mut addr: SocketAddr, port: u16) -> SocketAddr {
    if addr.port() == 0 {
        addr.set_port(port);
    }
    addr
}
