//! The test bed itself: what the other scenarios take for granted.

mod network;
mod traces;

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use swarmlet_testnet::{Host, Options, Power, Service, ServiceState, Testnet, procs, wait_for};

use crate::runner::Context;
use traces::Traces;

const SOON: Duration = Duration::from_secs(20);

/// Up, exec, cut, heal, lose, split, kill, boot, down on two hosts.
pub fn hosts_have_cables_power_disks_and_engines(context: &Context) -> Result<()> {
    let before = Traces::take()?;
    let net = context.up_engines(context.options(2))?;
    let (h1, h2) = (net.host("h1")?, net.host("h2")?);
    let during = Traces::take()?.of_hosts(&net)?;

    ensure!(h1.ok(&["hostname"])? == "h1\n");
    ensure!(h2.run(&["sh", "-c", "exit 7"])?.status.code() == Some(7));
    let processes = h1.ok(&["sh", "-c", "cat /proc/1/cmdline"])?;
    ensure!(processes.contains(procs::INIT_VERB), "pid 1 is {processes}");
    cables(&h1, &h2)?;
    network::is_as_in_the_field(&net, &h1, &h2)?;
    containers(&h1)?;
    power(&h1, &h2)?;

    let name = net.name().to_owned();
    ensure!(
        before.nothing_is_left(&name, &during).is_err(),
        "what is up leaves no traces to find"
    );
    drop(net);
    before.nothing_is_left(&name, &during)
}

fn pings(from: &Host, to: &str) -> Result<bool> {
    Ok(from.run(&["busybox", "ping", "-c1", "-W1", to])?.ok())
}

fn await_ping(from: &Host, to: &Host, wanted: bool) -> Result<()> {
    let what = format!("ping from {} to {} to be {wanted}", from.name(), to.name());
    wait_for(&what, SOON, || match pings(from, to.name()) {
        Ok(seen) if seen == wanted => Ok(()),
        Ok(seen) => Err(seen.to_string()),
        Err(e) => Err(e.to_string()),
    })?;
    Ok(())
}

fn cables(h1: &Host, h2: &Host) -> Result<()> {
    await_ping(h1, h2, true)?;
    h2.cut()?;
    await_ping(h1, h2, false)?;
    let carrier = h2.ok(&["cat", "/sys/class/net/eth0/carrier"])?;
    ensure!(carrier == "0\n", "a cut cable shows carrier {carrier}");
    h2.heal()?;
    await_ping(h1, h2, true)
}

fn containers(h1: &Host) -> Result<()> {
    let said = h1.ok(&["docker", "run", "--rm", "busybox", "echo", "hello"])?;
    ensure!(said == "hello\n", "busybox said {said:?}");

    let run = [
        "docker",
        "run",
        "-d",
        "--name=web",
        "-e",
        "TASK=t.1",
        "-p",
        "8080:80",
        "whoami",
    ];
    h1.ok(&run)?;
    let url = "http://localhost:8080/";
    let answer = wait_for("whoami", SOON, || h1.http_get(url))?;
    ensure!(
        answer.status == 200 && answer.body.contains("TASK: t.1\n"),
        "{answer:?}"
    );
    h1.ok(&["docker", "stop", "-t", "30", "web"])?;
    let code = h1.ok(&["docker", "inspect", "-f", "{{.State.ExitCode}}", "web"])?;
    ensure!(code == "0\n", "SIGTERM ended whoami with {code}");
    Ok(())
}

fn power(h1: &Host, h2: &Host) -> Result<()> {
    // A number that nobody else sleeps for.
    let forever = (1_000_000 + std::process::id()).to_string();
    h1.ok(&[
        "sh",
        "-c",
        "echo kept > /var/lib/swarmlet/note; echo kept > /etc/note",
    ])?;
    h1.ok(&["sh", "-c", "echo lost > /tmp/note"])?;
    h1.ok(&[
        "docker",
        "run",
        "-d",
        "--name=idle",
        "busybox",
        "sleep",
        &forever,
    ])?;
    let beside = h1.spawn(&["sleep", &forever])?;
    wait_for("the sleepers", SOON, || match processes_with(&forever) {
        // One in the container, one beside it, and the nsenter of that one.
        Ok(3) => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    h1.cut()?;
    h1.kill()?;
    ensure!(h1.power() == Power::Off);
    beside.wait_with_output()?;
    ensure!(processes_with(&forever)? == 0, "a power cut left a process");
    ensure!(h1.kill().is_err(), "a host without power was killed");
    ensure!(
        h1.run(&["true"]).is_err(),
        "a host without power ran something"
    );

    h1.boot()?;
    ensure!(!pings(h2, "h1")?, "a boot plugged the cable in");
    h1.heal()?;
    await_ping(h2, h1, true)?;
    let notes = h1.ok(&["cat", "/var/lib/swarmlet/note", "/etc/note"])?;
    ensure!(notes == "kept\nkept\n", "on the disk is {notes:?}");
    ensure!(!h1.run(&["test", "-e", "/tmp/note"])?.ok(), "/tmp survived");
    let state = h1.ok(&["docker", "inspect", "-f", "{{.State.Status}}", "idle"])?;
    ensure!(state == "exited\n", "after a power cut, idle is {state}");
    ensure!(
        !h2.run(&["test", "-e", "/etc/note"])?.ok(),
        "h2 sees the disk of h1"
    );
    Ok(())
}

/// How many processes of this machine have `word` as their last argument.
fn processes_with(word: &str) -> Result<usize> {
    let end = format!("\0{word}\0");
    let processes = std::fs::read_dir("/proc")?.flatten();
    let cmdlines = processes.filter_map(|p| std::fs::read(p.path().join("cmdline")).ok());
    Ok(cmdlines.filter(|c| c.ends_with(end.as_bytes())).count())
}

/// Kill, pause and start of an engine; containers outlive it.
pub fn services_die_and_start_only_when_told(context: &Context) -> Result<()> {
    let net = context.up_engines(context.options(1))?;
    let host = net.host("h1")?;
    let engine = host.engine();

    let first = engine.pid()?;
    ensure!(engine.usage()?.rss > 1 << 20, "{:?}", engine.usage()?);
    engine.pause()?;
    ensure!(matches!(engine.state()?, ServiceState::Paused { .. }));
    engine.resume()?;
    ensure!(engine.answers());
    ensure!(engine.start().is_err(), "it was started twice");
    starves(&engine)?;

    // A starting engine stops what ran on; with SIGTERM that is 10 s of grace.
    let run = ["docker", "run", "-d", "--stop-signal=KILL", "busybox"];
    host.ok(&[&run[..], &["sleep", "7357"]].concat())?;
    engine.kill()?;
    ensure!(!engine.answers());
    ensure!(matches!(engine.state()?, ServiceState::Ended { .. }));
    ensure!(engine.kill().is_err(), "the dead was killed");
    // The brackets keep the shell itself from being found.
    let find = "cat /proc/[0-9]*/cmdline | grep -q '[7]357'";
    host.ok(&["sh", "-c", find])?;
    engine.start()?;
    ensure!(engine.pid()? != first);
    engine.stop(SOON)?;
    engine.start()?;
    Ok(())
}

/// It stands still and goes on in turn, and then as before.
fn starves(engine: &Service) -> Result<()> {
    let starving = engine.starve()?;
    for _ in 0..2 {
        wait_for("it to stand still", SOON, || match engine.state() {
            Ok(ServiceState::Paused { .. }) => Ok(()),
            other => Err(format!("{other:?}")),
        })?;
        wait_for("it to go on", SOON, || match engine.state() {
            Ok(ServiceState::Running { .. }) => Ok(()),
            other => Err(format!("{other:?}")),
        })?;
    }
    drop(starving);
    ensure!(engine.answers());
    Ok(())
}

/// Two testnets have the same host names and nothing else in common.
pub fn testnets_live_side_by_side(context: &Context) -> Result<()> {
    let ours = context.options(1);
    let theirs = Options {
        name: format!("{}-b", ours.name),
        ..ours.clone()
    };
    let ours = context.up_engines(ours)?;
    let theirs = context.up_engines(theirs)?;
    let (h1, other) = (ours.host("h1")?, theirs.host("h1")?);
    ensure!(h1.ip() != other.ip(), "both have {}", h1.ip());
    ensure!(!pings(&h1, &other.ip().to_string())?, "the LANs are joined");
    h1.ok(&[
        "docker",
        "run",
        "-d",
        "--name=mine",
        "busybox",
        "sleep",
        "1000",
    ])?;
    let seen = other.ok(&["docker", "ps", "-aq"])?;
    ensure!(seen.is_empty(), "the other engine has {seen}");

    drop(theirs);
    ensure!(h1.engine().answers(), "one went down with the other");
    h1.ok(&["docker", "exec", "mine", "true"])?;
    Ok(())
}

/// The harness is killed while hosts boot; `down` by name clears it all away.
pub fn an_interrupted_up_leaves_nothing_after_down(context: &Context) -> Result<()> {
    let before = Traces::take()?;
    let name = context.options(2).name;
    let swarmlet = context.artifacts.swarmlet.as_ref();
    let mut up = Command::new(std::env::current_exe()?)
        // Else it builds one, for minutes where the features are other ones.
        .env("SWARMLET_BIN", swarmlet.context("no node was built")?)
        .args(["up", "2", "--no-swarm", "--name", &name])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("start `testnet up`")?;
    let net = wait_for("a host to have power", SOON, || {
        let net = Testnet::open(&name)?;
        match net.hosts().iter().any(|host| host.power() == Power::On) {
            true => Ok(net),
            false => Err(swarmlet_testnet::Error::HostOff("every host".into())),
        }
    })?;
    let during = Traces::take()?.of_hosts(&net)?;
    up.kill()?;
    up.wait()?;
    ensure!(Testnet::down(&name)?, "nothing was up");
    before.nothing_is_left(&name, &during)?;
    ensure!(!Testnet::down(&name)?, "it was taken down twice");
    Ok(())
}
