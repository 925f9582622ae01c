//! Reasons to look at everything again.

use std::future::pending;
use std::time::Duration;

use overlay::host::{self, Disturbance, Host};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Keeper, MEET_WITHIN, REMEMBER_WITHIN};
use crate::waiting::or_never;
use crate::worker::EngineState;

/// How long a program that takes away rules of ours has to finish.
const SETTLE: Duration = Duration::from_millis(100);
/// Other programs that keep a firewall load the engine's anew, which nobody
/// tells where the kernel has the older kind of tables.
pub(super) const PASS_EVERY: Duration = Duration::from_secs(15);
/// Where it is told. A rule that is only out of its place is not.
const PASS_RARELY: Duration = Duration::from_secs(300);

/// From a look at the engine's firewall to the next that nobody asks for.
pub(super) fn next_pass() -> Duration {
    match host::hears_engine() {
        true => PASS_RARELY,
        false => PASS_EVERY,
    }
}

impl Keeper {
    /// Waits until there is a reason to look again.
    pub(super) async fn change(&mut self) {
        let parts = [
            self.plugin.again(),
            self.host.again(),
            self.tunnel.again(),
            self.names.again(),
            self.engine.again(),
            self.ports.again(),
        ];
        let remembered = [MEET_WITHIN, REMEMBER_WITHIN]
            .map(|within| self.begun + within)
            .into_iter()
            .find(|at| self.inherited && self.untold.host && *at > Instant::now());
        let pass = self.engine.again().unwrap_or(self.pass);
        let times = parts.into_iter().flatten().chain(remembered);
        let again = times.chain(self.astray).chain([pass]).min();
        let ended = self.tunnel.running().map(|tunnel| tunnel.ended());
        let engine_is_due = tokio::select! {
            () = changed(&mut self.inputs.directory) => false,
            () = changed(&mut self.inputs.addr) => false,
            () = changed(&mut self.gossip) => false,
            () = changed(&mut self.told) => false,
            () = changed(&mut self.inputs.engine) => true,
            () = or_never(self.plugin.running_mut().map(changed)) => {
                self.shared.announce(|_| {});
                false
            }
            () = or_never(ended.as_ref().map(CancellationToken::cancelled)) => false,
            disturbed = or_never(self.host.running_mut().map(Host::disturbed)) => {
                self.disturbed(disturbed).await
            }
            () = or_never(again.map(sleep_until)) => pass <= Instant::now(),
        };
        let ready = matches!(*self.inputs.engine.borrow(), EngineState::Ready(_));
        match engine_is_due {
            true if ready => self.pass_engine().await,
            // Its return is a reason of its own.
            true => {
                self.pass = Instant::now() + next_pass();
                self.engine.succeeded();
            }
            false => {}
        }
    }

    /// Another program has changed what the kernel had of ours; whether the
    /// engine's firewall, too.
    async fn disturbed(&mut self, told: host::Result<Disturbance>) -> bool {
        sleep(SETTLE).await;
        match told {
            Ok(told) => {
                self.untold.host |= told.ways || told.rules;
                told.engine
            }
            Err(error) => {
                self.untold.host = true;
                self.host.failed(Instant::now(), &error);
                self.host.take();
                false
            }
        }
    }
}

/// Who has gone says nothing any more.
async fn changed<T>(watched: &mut watch::Receiver<T>) {
    if watched.changed().await.is_err() {
        pending().await
    }
}
