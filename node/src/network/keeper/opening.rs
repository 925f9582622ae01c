//! Beginning the parts, and beginning them again.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use overlay::dns::{self, NameServer};
use overlay::host::{self, Host};
use overlay::plugin::{Attach, Plugin};
use overlay::tunnel::{self, Tunnel};
use tokio::time::Instant;

use super::Keeper;
use super::reasons::next_pass;
use crate::control::lock;

impl Keeper {
    /// Begins what does not run and is due.
    pub(super) async fn open(&mut self) {
        let now = Instant::now();
        if self.host.running().is_none() && self.host.is_due(now) {
            match Host::open(self.config.names.clone()) {
                Ok(host) => {
                    self.inherited &= host.has_rules().await;
                    self.host.runs(host);
                    self.pass_engine().await;
                }
                Err(error) => self.host.failed(now, &error),
            }
        }
        if self.plugin.running().is_none() && self.plugin.is_due(now) {
            self.open_plugin(now).await;
        }
        if self
            .tunnel
            .running()
            .is_some_and(|tunnel| tunnel.ended().is_cancelled())
        {
            self.tunnel.take();
            tracing::warn!("the tunnel's device is gone; making another");
        }
        let port = self.inputs.directory.borrow().data_port;
        if port != 0 && self.tunnel.running().is_none() && self.tunnel.is_due(now) {
            match self.open_tunnel(port) {
                Ok(tunnel) => {
                    self.tunnel.runs(Arc::new(tunnel));
                    self.untold.tunnel = true;
                    // The routes went with the device before this one.
                    self.untold.routes = true;
                    self.untold.host = true;
                }
                Err(error) => self.tunnel.failed(now, &error),
            }
        }
        if self.names.running().is_none() && self.names.is_due(now) {
            let names = &self.config.names;
            let v6 = host::has_ipv6().then_some(IpAddr::V6(names.gateway6));
            let gateways = [IpAddr::V4(names.gateway)].into_iter().chain(v6);
            match NameServer::start(dns::Config::on(gateways)) {
                Ok(server) => {
                    self.names.runs(server);
                    self.untold.names = true;
                }
                Err(error) => self.names.failed(now, &error),
            }
        }
    }

    async fn open_plugin(&mut self, now: Instant) {
        if lock(&self.shared.gate).expected.is_none() {
            return;
        }
        let attach = Arc::clone(&self.inputs.attach) as Arc<dyn Attach>;
        match Plugin::open(self.config.plugin(Some(attach))).await {
            Ok(plugin) => {
                self.plugin.runs(plugin.locals());
                let links = Some(plugin.locals());
                self.shared.announce(|announced| announced.links = links);
                self.shared.attached.send_replace(Some(plugin.attached()));
                let mut gate = lock(&self.shared.gate);
                plugin.expect(gate.expected.clone().unwrap_or_default());
                gate.plugin = Some(plugin);
            }
            Err(error) => self.plugin.failed(now, &error),
        }
    }

    fn open_tunnel(&self, port: u16) -> io::Result<Tunnel> {
        let open = |ip| {
            Tunnel::open(tunnel::Config {
                device: self.config.names.tun.clone(),
                mtu: self.config.mtu,
                listen: SocketAddr::new(ip, port),
                credentials: self.inputs.credentials.clone(),
            })
        };
        let ip = self.inputs.listen.ip();
        let ip = self.inputs.data_addr.unwrap_or(ip);
        let opened = match ip.is_unspecified() {
            false => open(ip),
            // Both families, where the kernel has both.
            true => open(Ipv6Addr::UNSPECIFIED.into()).or_else(|error| match error.kind() {
                io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
                _ => open(ip),
            }),
        };
        opened.map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => {
                let text = format!(
                    "udp port {port} is used by another program (a VXLAN, say that of Docker's \
                     own swarm): end that, or choose another --data-path-port for the swarm"
                );
                io::Error::new(error.kind(), text)
            }
            io::ErrorKind::AddrNotAvailable => {
                let text = format!(
                    "this device does not have the data path address {ip} (now): see `ip address`"
                );
                io::Error::new(error.kind(), text)
            }
            _ => error,
        })
    }

    pub(super) async fn pass_engine(&mut self) {
        self.pass = Instant::now() + next_pass();
        let Some(host) = self.host.running_mut() else {
            self.engine.succeeded();
            return;
        };
        match host.pass_engine().await {
            Ok(()) => self.engine.succeeded(),
            Err(error) => self.engine.failed(Instant::now(), &error),
        }
    }
}
