//! Debian's nebula between two hosts, as its documentation sets it up.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use swarmlet_testnet::Host;

use super::ways::{Kind, Way};

const PORT: u16 = 4242;
const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 202, 0, 1), Ipv4Addr::new(10, 202, 0, 2)];
/// What its default of 1300 leaves of an Ethernet link.
const HEADROOM: u16 = 200;

/// Runs it on both hosts until their power goes.
pub fn lay(h1: &Host, h2: &Host, mtu: u16) -> Result<Way> {
    let keys = tempfile::tempdir()?;
    cert(keys.path(), &["ca", "-name", "testnet"])?;
    let hosts = [h1, h2];
    for (host, address) in hosts.iter().zip(ADDRESSES) {
        let name = host.name();
        let at = format!("{address}/24");
        cert(keys.path(), &["sign", "-name", name, "-ip", &at])?;
        let folder = host.path("/run/nebula")?;
        fs::create_dir_all(&folder)?;
        for (from, to) in [
            ("ca.crt".to_owned(), "ca.crt"),
            (format!("{name}.crt"), "host.crt"),
            (format!("{name}.key"), "host.key"),
        ] {
            fs::copy(keys.path().join(from), folder.join(to))?;
        }
        let other = hosts
            .iter()
            .zip(ADDRESSES)
            .find(|(other, _)| other.name() != name);
        let (other, peer) = other.context("two hosts")?;
        let config = config(peer, &other.ip().to_string(), mtu - HEADROOM);
        fs::write(folder.join("config.yml"), config.to_string())?;
        host.command(&["nebula", "-config", "/run/nebula/config.yml"])?
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("nebula")?;
    }
    Ok(Way {
        name: Kind::Nebula.name(),
        client: h1.netns()?,
        server: h2.netns()?,
        address: ADDRESSES[1].into(),
        _alive: None,
    })
}

fn cert(folder: &Path, args: &[&str]) -> Result<()> {
    let output = Command::new("nebula-cert")
        .args(args)
        .current_dir(folder)
        .output()
        .context("nebula-cert")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "nebula-cert {args:?}: {said}");
    Ok(())
}

/// JSON is YAML, too. Each knows the other, so no lighthouse is needed.
fn config(peer: Ipv4Addr, at: &str, mtu: u16) -> serde_json::Value {
    let any = json!([{ "port": "any", "proto": "any", "host": "any" }]);
    json!({
        "pki": {
            "ca": "/run/nebula/ca.crt",
            "cert": "/run/nebula/host.crt",
            "key": "/run/nebula/host.key",
        },
        "static_host_map": { peer.to_string(): [format!("{at}:{PORT}")] },
        "lighthouse": { "am_lighthouse": false, "hosts": [] },
        "listen": { "host": "0.0.0.0", "port": PORT },
        "tun": { "dev": "nebula1", "mtu": mtu },
        "firewall": { "outbound": any, "inbound": any },
    })
}
