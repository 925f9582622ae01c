//! `up`: waiting for the other devices of a site until there is a swarm of
//! them, over restarts, and without anybody who watches.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use certs::NodeKey;
use services::managing::{self, DEFAULT_MANAGERS};
use services::object::SiteSecret;
use services::spec::{ClusterSpec, NodeSpec, Role};
use tokio::sync::watch;

use super::found::Founder;
use super::{Phase, Swarm, SwarmError, follows};
use crate::disk::NodeFile;
use crate::site::file::{self, Pending};
use crate::site::form::{Forming, Joined, Verdict};
use crate::site::host::candidate;
use crate::site::port::Port;
use crate::site::{Options, Progress, announce};

const PORT_AGAIN: Duration = Duration::from_secs(1);

impl Swarm {
    /// Waits for the others of the site from now on. Asking for the same again
    /// changes nothing.
    pub async fn up(&self, options: Options) -> Result<(), SwarmError> {
        let _changing = self.0.changing.lock().await;
        if let Phase::Waiting(forming) = self.phase() {
            return match forming.options().secret == options.secret {
                true => Ok(()),
                false => Err(SwarmError::Waiting),
            };
        }
        self.check_free()?;
        self.0.data.save_pending(&Pending::new(&options, false))?;
        if let Err(error) = self.wait(options).await {
            self.0.data.forget_pending()?;
            return Err(error.into());
        }
        Ok(())
    }

    /// Does what the operator's site file says, on a device that is in no swarm.
    pub async fn up_by_file(&self, path: &Path) {
        if !matches!(self.phase(), Phase::Inactive | Phase::Waiting(_)) {
            return;
        }
        let at = path.to_owned();
        let read = tokio::task::spawn_blocking(move || file::read(&at)).await;
        let options = match read.map_err(anyhow::Error::from).and_then(|read| read) {
            Ok(Some(options)) => options,
            Ok(None) => return,
            Err(error) => return tracing::error!("going on without a site: {error:#}"),
        };
        tracing::info!("the site is that of {}", path.display());
        if let Phase::Waiting(forming) = self.phase()
            && *forming.options() != options
        {
            let _changing = self.0.changing.lock().await;
            self.give_up(&forming).await;
        }
        if let Err(error) = self.up(options).await {
            tracing::error!("cannot wait for the site of {}: {error:#}", path.display());
        }
    }

    /// How far this device is on its way into the swarm of its site.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.0.progress.subscribe()
    }

    pub(super) fn tell(&self, progress: Progress) {
        self.0.progress.send_if_modified(|told| {
            let new = *told != progress;
            if new && !progress.message.is_empty() {
                tracing::info!("{}", progress.message);
            }
            *told = progress;
            new
        });
    }

    /// What a restart has interrupted. Half a swarm that was being founded is
    /// nobody's yet, and is removed.
    pub(super) fn pending(&self) -> Option<Options> {
        let data = &self.0.data;
        let cleaned = || -> anyhow::Result<Option<Options>> {
            let Some(pending) = data.pending()? else {
                return Ok(None);
            };
            if pending.founding {
                tracing::warn!("founding the swarm of the site was cut off; beginning again");
                data.clear()?;
            }
            Ok(Some(pending.options()))
        };
        cleaned().unwrap_or_else(|error| {
            tracing::error!("no longer waiting for a site: {error:#}");
            None
        })
    }

    /// As before the restart; the port may be somebody else's for a moment.
    pub(super) async fn wait_again(&self, options: Options) {
        if let Err(error) = self.wait(options).await {
            tracing::error!("cannot wait for the devices of the site: {error:#}");
        }
    }

    pub(super) fn announce(&self) {
        let run = announce::run(
            Arc::downgrade(&self.0),
            Arc::clone(&self.0.lan),
            self.0.phase.subscribe(),
        );
        let stop = self.0.stop.clone();
        self.0.tasks.spawn(async move {
            stop.run_until_cancelled(run).await;
        });
    }

    async fn wait(&self, options: Options) -> anyhow::Result<()> {
        let (_, listen) = self.listen(options.listen);
        let forming = Forming::new(options, listen)?;
        let port = Port::open(listen, Arc::clone(&forming))
            .await
            .with_context(|| format!("cannot listen on udp {listen}"))?;
        forming.set_port(port.number()?);
        self.tell(Progress::waiting());
        self.enter(Phase::Waiting(Arc::clone(&forming)));
        self.0.tasks.spawn(self.clone().form(forming, port));
        Ok(())
    }

    /// Ends the waiting; the caller holds `changing`.
    pub(super) async fn give_up(&self, forming: &Forming) {
        forming.cancelled.cancel();
        forming.ended.cancelled().await;
        if let Err(error) = self.0.data.forget_pending() {
            tracing::error!("this device will wait again after a restart: {error:#}");
        }
        self.tell(Progress::default());
        self.enter(Phase::Inactive);
    }

    /// Runs until this device is part of a swarm, or is not to wait any more.
    async fn form(self, forming: Arc<Forming>, port: Port) {
        let _ended = forming.ended.clone().drop_guard();
        let mut port = Some(port);
        let formed = self.form_with(&forming, &mut port);
        forming.cancelled.run_until_cancelled(formed).await;
        if let Some(port) = port {
            port.close().await;
        }
    }

    async fn form_with(&self, forming: &Arc<Forming>, port: &mut Option<Port>) {
        loop {
            let verdict = forming.run(&*self.0.lan, |told| self.tell(told)).await;
            let changing = self.0.changing.lock().await;
            if let Some(port) = port.take() {
                port.close().await;
            }
            // Who gives up waits for `changing`: from here on nothing is cut off.
            match self.formed(forming, verdict).await {
                Ok(progress) => return self.tell(progress),
                Err(error) => {
                    tracing::warn!("no swarm yet: {error:#}");
                    self.tell(Progress::failed(&format!("{error:#}")));
                }
            }
            drop(changing);
            forming.founding_failed();
            *port = Some(self.port_again(forming).await);
        }
    }

    async fn port_again(&self, forming: &Arc<Forming>) -> Port {
        let (_, listen) = self.listen(forming.options().listen);
        loop {
            match Port::open(listen, Arc::clone(forming)).await {
                Ok(port) => return port,
                Err(error) => tracing::warn!(%listen, %error, "waiting for the control port"),
            }
            tokio::time::sleep(PORT_AGAIN).await;
        }
    }

    async fn formed(&self, forming: &Arc<Forming>, verdict: Verdict) -> anyhow::Result<Progress> {
        match verdict {
            Verdict::Found => tokio::select! {
                founded = self.found_site(forming) => founded,
                never = forming.tell_of_founding(&*self.0.lan) => match never {},
            },
            Verdict::Joined(joined) => self.join_site(forming, *joined).await,
        }
    }

    async fn found_site(&self, forming: &Forming) -> anyhow::Result<Progress> {
        let options = forming.options();
        let addr = forming.advertised().map_err(anyhow::Error::msg)?;
        let (said, listen) = self.listen(options.listen);
        let key = NodeKey::from_pkcs8_der(&forming.key().to_pkcs8_der()?)?;
        let mut spec = ClusterSpec::default();
        if options.managers != DEFAULT_MANAGERS {
            let managers = options.managers.to_string();
            spec.labels.insert(managing::MANAGERS.to_owned(), managers);
        }
        let founder = Founder {
            spec,
            site: Some(SiteSecret(*options.secret.as_bytes())),
            unlock_key: None,
            node: NodeSpec {
                name: None,
                labels: candidate(options.labels.clone()),
                role: Role::Manager,
                availability: options.availability,
            },
            file: NodeFile {
                listen: said,
                addr,
                follows: options.advertise.is_none() && follows(listen, addr),
                data_addr: None,
                managers: vec![(key.node_id(), addr)],
            },
            key,
        };
        self.0.data.save_pending(&Pending::new(options, true))?;
        let membership = match self.found(founder).await {
            Ok(membership) => membership,
            Err(error) => {
                self.0.data.save_pending(&Pending::new(options, false))?;
                return Err(error);
            }
        };
        self.0.data.forget_pending()?;
        let swarm = membership.credentials.cluster_id();
        let me = membership.me;
        self.enter(Phase::Active(membership));
        Ok(Progress::founded(swarm, me))
    }

    async fn join_site(&self, forming: &Forming, joined: Joined) -> anyhow::Result<Progress> {
        let options = forming.options();
        let (said, listen) = self.listen(options.listen);
        let addr = joined.grant.addr;
        let node = NodeFile {
            listen: said,
            addr,
            follows: options.advertise.is_none() && follows(listen, addr),
            data_addr: None,
            managers: joined.grant.managers,
        };
        let identity = joined.identity;
        self.take_part(&identity, node).await?;
        self.0.data.forget_pending()?;
        let swarm = identity.cluster_id();
        Ok(Progress::joined(swarm, identity.node_id(), joined.through))
    }
}
