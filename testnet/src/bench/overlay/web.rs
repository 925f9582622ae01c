//! Requests per second, as wrk asks them: of a task by its address, through a
//! VIP, through ingress, and through Debian's haproxy.
//!
//! Three backends on h2, each way. Ingress and haproxy are on h1 and asked from
//! h3, as from outside; haproxy's backends are published by Docker, and what
//! it sends them is not encrypted.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use swarmlet_testnet::{Host, Netns, Testnet, wait_for};

use super::streams::Server;
use crate::scenarios::kit::{self, Swarm};

pub const NAMES: [&str; 4] = ["task", "vip", "ingress", "haproxy"];
const BACKENDS: usize = 3;
const INGRESS: u16 = 8085;
/// Of the first backend that Docker publishes.
const PUBLISHED: u16 = 8186;
const HAPROXY: u16 = 8086;
const CONNECTIONS: &str = "32";
const SOON: Duration = Duration::from_secs(60);

/// Whom to ask, and from where.
#[derive(Debug)]
pub struct Web {
    targets: [(Netns, SocketAddr); NAMES.len()],
    _haproxy: Server,
}

impl Web {
    pub fn lay(net: &Testnet) -> Result<Self> {
        let (h1, h2, h3) = (net.host("h1")?, net.host("h2")?, net.host("h3")?);
        let create = format!(
            "service create -d --name web --replicas {BACKENDS} --network lane \
             -p {INGRESS}:80 --constraint node.hostname==h2 whoami"
        );
        kit::swarmlet(&h1, &create)?;
        let tasks = Swarm::over(net)?.inside(&h1, "web", BACKENDS)?;
        let client = h1.container_netns(&one(&h1, "lane-h1")?)?;
        let first = tasks.first().context("no task")?;
        let vip = kit::soon("the VIP to be known", || {
            let vips = first.resolve("web")?;
            vips.into_iter().next().context("no VIP")
        })?;
        let haproxy = haproxy(&h1, &h2)?;
        let outside = h3.netns()?;
        let entry = |port| SocketAddr::new(h1.ip().into(), port);
        let inside = |addr: IpAddr| SocketAddr::new(addr, 80);
        let targets = [
            (client.clone(), inside(first.address("lane")?)),
            (client, inside(vip)),
            (outside.clone(), entry(INGRESS)),
            (outside, entry(HAPROXY)),
        ];
        for (from, server) in &targets {
            wait_for(&format!("{server} to answer"), SOON, || {
                from.enter(|| swarmlet_testnet::http_get(*server, "/ok"))
            })?;
        }
        Ok(Self {
            targets,
            _haproxy: haproxy,
        })
    }

    /// Thousands of requests per second, for `seconds`.
    pub fn measure(&self, number: usize, seconds: u64) -> Result<f64> {
        let (from, server) = self.targets.get(number).context("no such way")?;
        let (time, url) = (format!("{seconds}s"), format!("http://{server}/ok"));
        let output = from
            .command(&["wrk", "-t", "1", "-c", CONNECTIONS, "-d", &time, &url])
            .stdin(Stdio::null())
            .output()
            .context("run wrk")?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "wrk: {said}");
        ensure!(!said.contains("Non-2xx"), "wrk {url}: {said}");
        Ok(rate(&said).with_context(|| format!("wrk: {said}"))? / 1e3)
    }
}

fn one(host: &Host, service: &str) -> Result<String> {
    let all = kit::containers(host, service)?;
    let running = all.into_iter().find(|container| container.runs);
    Ok(running.with_context(|| format!("no {service}"))?.id)
}

/// On `at`, over backends on `behind`, which are the same server.
fn haproxy(at: &Host, behind: &Host) -> Result<Server> {
    let mut config = format!(
        "global\n  nbthread 1\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  \
         timeout server 30s\nlisten web\n  bind :{HAPROXY}\n  balance random\n  http-reuse always\n"
    );
    for port in (PUBLISHED..).take(BACKENDS) {
        kit::docker(
            behind,
            &format!("run -d --name web-{port} -p {port}:80 whoami"),
        )?;
        config += &format!("  server s{port} {}:{port}\n", behind.ip());
    }
    let file = at.path("/run/haproxy.cfg")?;
    fs::write(&file, config)?;
    let file = file.to_string_lossy();
    Server::start(&at.netns()?, &["haproxy", "-db", "-f", &file])
}

/// The line `Requests/sec:  12345.67` of wrk.
fn rate(said: &str) -> Option<f64> {
    let line = said
        .lines()
        .find_map(|line| line.strip_prefix("Requests/sec:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_read_from_what_wrk_says() {
        let said = "Running 1s test\n  2 requests in 1s\nRequests/sec:  12345.67\nTransfer: 1MB\n";
        assert_eq!(rate(said), Some(12345.67));
        assert_eq!(rate("unable to connect"), None);
    }
}
