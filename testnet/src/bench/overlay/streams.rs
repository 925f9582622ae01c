//! Throughput, as iperf3 sends it.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use swarmlet_testnet::{Netns, wait_for};

use super::machine;
use super::ways::Way;

const PORT: &str = "5201";
/// The kernel's default would be the machine's owner's choice.
pub const CONGESTION_CONTROL: &str = "cubic";
const READY: Duration = Duration::from_secs(20);

/// Of a stream over TCP.
#[derive(Debug, Clone, Copy)]
pub struct Throughput {
    pub bits_per_second: f64,
    /// Of the whole machine, so of both hosts, per 10^9 bytes that arrived.
    pub cpu_per_gigabyte: f64,
}

/// A server that is gone when this is dropped.
#[derive(Debug)]
pub struct Server(Child);

impl Server {
    /// iperf3 at the receiving end of a way.
    pub fn iperf(network: &Netns) -> Result<Self> {
        Self::start(network, &["iperf3", "-s", "-p", PORT])
    }

    /// Any program that stays in the foreground.
    pub fn start(network: &Netns, argv: &[&str]) -> Result<Self> {
        let child = network
            .command(argv)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Ok(Self(child.with_context(|| argv.join(" "))?))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `streams` streams for `seconds`, once something listens.
pub fn tcp(way: &Way, streams: u64, seconds: u64) -> Result<Throughput> {
    let (streams, seconds) = (streams.to_string(), seconds.to_string());
    let before = machine::busy()?;
    let report = run(
        way,
        &["-P", &streams, "-t", &seconds, "-C", CONGESTION_CONTROL],
    )?;
    let spent = machine::busy()?.saturating_sub(before).as_secs_f64();
    let sum = &report["end"]["sum_received"];
    let number = |key: &str| {
        sum[key]
            .as_f64()
            .with_context(|| format!("no {key}: {sum}"))
    };
    let bytes = number("bytes")?;
    ensure!(bytes > 0.0, "{}: nothing arrived", way.name);
    Ok(Throughput {
        bits_per_second: number("bits_per_second")?,
        cpu_per_gigabyte: spent / (bytes / 1e9),
    })
}

/// Datagrams of 64 bytes, as many as the sender can send; how many arrive in a
/// second.
pub fn udp(way: &Way, seconds: u64) -> Result<f64> {
    let seconds = seconds.to_string();
    let report = run(way, &["-u", "-b", "0", "-l", "64", "-t", &seconds])?;
    let sum = &report["end"]["sum"];
    let number = |key: &str| {
        sum[key]
            .as_f64()
            .with_context(|| format!("no {key}: {sum}"))
    };
    Ok((number("packets")? - number("lost_packets")?) / number("seconds")?)
}

/// Waits until the server answers.
pub fn await_server(way: &Way) -> Result<()> {
    wait_for(&format!("iperf3 by way of {}", way.name), READY, || {
        run(way, &["-n", "1K"]).map(drop)
    })?;
    Ok(())
}

fn run(way: &Way, options: &[&str]) -> Result<Value> {
    let server = way.address.to_string();
    let client = ["timeout", "60", "iperf3", "-J", "-p", PORT, "-c", &server];
    json(&mut way.client.command(&[&client, options].concat()))
        .with_context(|| format!("iperf3 by way of {}", way.name))
}

fn json(command: &mut Command) -> Result<Value> {
    let output = command.stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let report: Value =
        serde_json::from_str(&text).with_context(|| format!("{}: {text:.300}", output.status))?;
    ensure!(report["error"].is_null(), "{}", report["error"]);
    Ok(report)
}
