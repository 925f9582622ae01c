//! What this node's gossip is fed with: who this node is, what its engine and
//! its load are, and where others were seen on the LAN.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use certs::{NodeId, Role};
use futures::future::BoxFuture;
use gossip::{Facts, Load, Platform, Resources};
use quinn::Connection;
use services::object::{NodeDescription, TaskState};
use tokio::time::{MissedTickBehavior, interval};

use crate::control::{ALPN_GOSSIP, Control};
use crate::disk::NodeFile;
use crate::membership::Membership;
use crate::site::lan::Lan;
use crate::worker::EngineState;

/// Load is weather: nobody needs to know it at once.
const LOAD_EVERY: Duration = Duration::from_secs(30);
/// A load that is less than this away from what was said is not news.
const STEP: u8 = 10;

/// Gossip dials the addresses that it was told, and no others.
pub struct GossipDial(pub Arc<Control>);

impl gossip::Dial for GossipDial {
    fn dial(&self, id: NodeId, addr: SocketAddr) -> BoxFuture<'static, io::Result<Connection>> {
        let control = Arc::clone(&self.0);
        Box::pin(async move { control.dial_at(id, addr, ALPN_GOSSIP).await })
    }
}

/// What this node says of itself before its engine has said anything.
pub fn facts(node: &NodeFile, role: Role) -> Facts {
    Facts {
        addrs: vec![node.addr],
        hostname: std::fs::read_to_string("/proc/sys/kernel/hostname")
            .map(|name| name.trim().to_owned())
            .unwrap_or_default(),
        role,
        version: env!("CARGO_PKG_VERSION").into(),
        platform: Platform::default(),
        resources: Resources::default(),
        load: Load::default(),
        endpoints: BTreeMap::new(),
    }
}

impl Membership {
    /// Publishes what the engine says of this device. Runs until it is dropped.
    pub async fn publish_description(self: Arc<Self>) {
        let mut engine = self.agent.engine();
        engine.mark_changed();
        while engine.changed().await.is_ok() {
            if let EngineState::Ready(description) = &*engine.borrow_and_update() {
                self.gossip.publish(|facts| describe(facts, description));
            }
        }
    }

    /// Publishes what of this device is in use. Runs until it is dropped.
    pub async fn publish_load(self: Arc<Self>) {
        let mut pause = interval(LOAD_EVERY);
        pause.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = Processors::default();
        loop {
            pause.tick().await;
            let processors = read("/proc/stat").and_then(|text| Processors::parse(&text));
            let cpu = processors.map(|now| std::mem::replace(&mut before, now).busy_until(now));
            let memory = read("/proc/meminfo").and_then(|text| used_memory(&text));
            let statuses = self.agent.statuses().snapshot();
            let running = statuses.values();
            let running = running.filter(|status| status.state == TaskState::Running);
            let tasks = running.count().try_into().unwrap_or(u32::MAX);
            self.gossip.publish(|facts| {
                let load = &mut facts.load;
                load.cpu = coarse(load.cpu, cpu.flatten());
                load.memory = coarse(load.memory, memory);
                load.tasks = tasks;
            });
        }
    }

    /// Tells gossip where nodes of this swarm announce themselves. So it finds
    /// them when all addresses have changed. Runs until it is dropped.
    pub async fn follow_lan(self: Arc<Self>, lan: Arc<dyn Lan>) {
        let mut changes = lan.changes();
        changes.mark_changed();
        let mut told = BTreeSet::new();
        while changes.changed().await.is_ok() {
            let found = lan.found();
            let identity = self.credentials.identity();
            let is_ours = |swarm| identity.roots().iter().any(|root| swarm == root.digest());
            let ours = found
                .iter()
                .filter(|found| found.swarm.is_some_and(is_ours));
            let ours: BTreeSet<_> = ours.map(|found| (found.id, found.addr)).collect();
            for (id, addr) in ours.difference(&told) {
                self.gossip.hint(*id, vec![*addr]);
            }
            told = ours;
        }
    }
}

fn describe(facts: &mut Facts, description: &NodeDescription) {
    if !description.hostname.is_empty() {
        facts.hostname.clone_from(&description.hostname);
    }
    let platform = &description.platform;
    facts.platform = Platform {
        os: platform.os.clone(),
        architecture: match platform.architecture.as_str() {
            "x86_64" => "amd64".into(),
            "aarch64" => "arm64".into(),
            other => other.into(),
        },
    };
    facts.resources = Resources {
        nano_cpus: description.resources.nano_cpus.try_into().unwrap_or(0),
        memory: description.resources.memory_bytes.try_into().unwrap_or(0),
    };
}

/// Times of all processors since the boot, in ticks of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Processors {
    busy: u64,
    total: u64,
}

impl Processors {
    /// Of `/proc/stat`, proc(5).
    fn parse(text: &str) -> Option<Self> {
        let times = text.lines().next()?.strip_prefix("cpu ")?;
        let times = times.split_whitespace().map(str::parse);
        let times: Vec<u64> = times.collect::<Result<_, _>>().ok()?;
        // What guests take is part of "user" and "nice" already.
        let total = times.iter().take(8).sum();
        let idle: u64 = times.get(3..5)?.iter().sum();
        Some(Self {
            busy: total - idle,
            total,
        })
    }

    /// Percent; `None` where no time has passed, or nothing was known before.
    fn busy_until(self, now: Self) -> Option<u8> {
        let total = now
            .total
            .checked_sub(self.total)
            .filter(|total| *total > 0)?;
        let busy = now.busy.saturating_sub(self.busy);
        (self.total > 0).then_some(percent(busy, total))
    }
}

/// Percent, of `/proc/meminfo`.
fn used_memory(text: &str) -> Option<u8> {
    let value = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let total = value("MemTotal:").filter(|total| *total > 0)?;
    Some(percent(
        total.saturating_sub(value("MemAvailable:")?),
        total,
    ))
}

fn percent(part: u64, whole: u64) -> u8 {
    let percent = u128::from(part) * 100 / u128::from(whole);
    percent.min(100).try_into().unwrap_or(100)
}

/// The step of `now`, or of what was said where that is near enough.
fn coarse(said: u8, now: Option<u8>) -> u8 {
    match now {
        Some(now) if now.abs_diff(said) >= STEP => (now + STEP / 2) / STEP * STEP,
        _ => said,
    }
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_that_wavers_is_not_news() {
        assert_eq!(coarse(0, Some(47)), 50);
        assert_eq!(coarse(50, Some(41)), 50);
        assert_eq!(coarse(50, Some(59)), 50);
        assert_eq!(coarse(50, Some(61)), 60);
        assert_eq!(coarse(50, None), 50);
        assert_eq!(coarse(90, Some(100)), 100);
    }

    #[test]
    fn busy_is_what_is_not_idle_between_two_looks() {
        let look = |text| Processors::parse(text).unwrap();
        let before = look("cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3\n");
        let after = look("cpu  150 0 125 720 105 0 0 0 50 0\n");
        assert_eq!(before.busy_until(after), Some(75));
        assert_eq!(after.busy_until(after), None);
        assert_eq!(Processors::default().busy_until(after), None);
        assert_eq!(Processors::parse("cpu  1 2"), None);
    }

    #[test]
    fn memory_that_could_be_had_is_not_used() {
        let text = "MemTotal:    1000 kB\nMemFree:    100 kB\nMemAvailable:   600 kB\n";
        assert_eq!(used_memory(text), Some(40));
        assert_eq!(used_memory("MemTotal: 0 kB"), None);
    }
}
