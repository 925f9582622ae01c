//! `testnet demo`: a swarm of three real hosts, told as it happens.
//!
//! Each step types what a user would type, waits until its claim is true, and
//! says how long that took; the first claim that does not hold ends the demo
//! with what was expected, what was seen and where the logs are. The claims
//! are checked against the API *and* against the engines, so that no one has
//! to take swarmlet's word for it. [`story`] is the whole of it.

mod outage;
mod swarm;
mod transcript;

use std::io::{self, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use swarmlet_testnet::{Artifacts, Host, Options, Testnet, ensure_packages, target_dir};

use crate::interrupt::Guard;
use swarm::{Swarm, by_host};
use transcript::{Transcript, expect};

/// The testnet that the demo uses when no name is given.
pub const DEFAULT_NAME: &str = "demo";

const HOSTS: usize = 3;
const SERVICE: &str = "web";
const REPLICAS: usize = 6;
const MORE_REPLICAS: usize = 9;
/// Longer than anything here takes on two busy cores.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tells the story on stdout; an error when any of it was not true.
pub fn run(name: &str) -> Result<()> {
    let guard = Guard::of_testnet(name)?;
    let start = Instant::now();
    let mut transcript = Transcript::new(io::stdout());
    guard.finish(on_hosts(&mut transcript, name))?;
    transcript.line(&format!(
        "All {} steps were true, in {:.0} s. Hosts of your own: cargo testnet up",
        transcript.steps(),
        start.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// Raises the hosts, lives the story on them, and removes them either way.
fn on_hosts<W: Write>(transcript: &mut Transcript<W>, name: &str) -> Result<()> {
    let logs = target_dir().join("testnet/failed/demo");
    let artifacts = build(transcript)?;
    // Hosts that are dropped leave their logs where the error says.
    let with_logs = |e: anyhow::Error| anyhow!("{e:#}\nlogs:     {}", logs.display());
    let mut net = raise(transcript, &artifacts, name, &logs).map_err(with_logs)?;
    story(transcript, &net).map_err(with_logs)?;
    net.keep();
    transcript.step(
        "this machine",
        &format!("cargo testnet down --name {name}"),
        "nothing is left behind",
        |_| {
            ensure!(Testnet::down(name)?, "the hosts were gone before");
            Ok(())
        },
    )
}

fn build<W: Write>(transcript: &mut Transcript<W>) -> Result<Artifacts> {
    transcript.step(
        "this machine",
        "cargo build --release --package swarmlet-node",
        "swarmlet and the test images are built",
        |_| {
            ensure_packages(true)?;
            Ok(Artifacts::build()?)
        },
    )
}

fn raise<W: Write>(
    transcript: &mut Transcript<W>,
    artifacts: &Artifacts,
    name: &str,
    logs: &std::path::Path,
) -> Result<Testnet> {
    transcript.step(
        "this machine",
        &format!("cargo testnet up {HOSTS} --no-swarm --name {name}"),
        "three hosts run, each with an engine and a daemon",
        |notes| {
            if Testnet::down(name)? {
                notes.say("an earlier demo was still up and was taken down");
            }
            if let Err(e) = std::fs::remove_dir_all(logs) {
                ensure!(
                    e.kind() == io::ErrorKind::NotFound,
                    "{}: {e}",
                    logs.display()
                );
            }
            let options = Options {
                swarm: false,
                logs: Some(logs.to_owned()),
                ..Options::new(name, HOSTS)
            };
            let net = Testnet::up(artifacts, &options)?;
            for host in net.hosts() {
                notes.say(format!("{}  {}", host.name(), host.ip()));
            }
            Ok(net)
        },
    )
}

fn story<W: Write>(transcript: &mut Transcript<W>, net: &Testnet) -> Result<()> {
    let swarm = Swarm {
        host: net.host("h1")?,
        hosts: net.hosts(),
    };
    form(transcript, &swarm)?;
    create(transcript, &swarm)?;
    reach(transcript, &swarm)?;
    scale(transcript, &swarm)?;
    let victim = net.host("h3")?;
    outage::kill_the_engine(transcript, &swarm, &victim)?;
    outage::start_the_engine(transcript, &swarm, &victim)
}

fn form<W: Write>(transcript: &mut Transcript<W>, swarm: &Swarm) -> Result<()> {
    let first = &swarm.host;
    let address = first.ip().to_string();
    typed(
        transcript,
        first,
        &["swarmlet", "init", "--advertise-addr", &address],
        "h1 is a swarm of one",
    )?;
    let token = first.ok(&["swarmlet", "join-token", "-q", "manager"])?;
    let remote = format!("{address}:2377");
    for host in &swarm.hosts[1..] {
        let join = ["swarmlet", "join", "--token", token.trim(), &remote];
        typed(
            transcript,
            host,
            &join,
            &format!("{} is a manager too", host.name()),
        )?;
    }
    let command = ["swarmlet", "node", "ls"];
    transcript.step(
        first.name(),
        &command.join(" "),
        "every node is ready, every manager reachable",
        |notes| {
            let expected = format!("{HOSTS} nodes that are ready and reachable");
            expect(&expected, PATIENCE, || swarm.is_complete())?;
            notes.say(from_column("HOSTNAME", &first.ok(&command)?));
            Ok(())
        },
    )
}

/// A table from the column `head` on: ids are half of a line.
fn from_column(head: &str, table: &str) -> String {
    let start = table.find(head).unwrap_or(0);
    let rest = |line: &str| line.get(start..).unwrap_or_default().to_owned() + "\n";
    table.lines().map(rest).collect()
}

/// Types a command that is done when it returns; shows its first line.
fn typed<W: Write>(
    transcript: &mut Transcript<W>,
    host: &Host,
    argv: &[&str],
    claim: &str,
) -> Result<()> {
    transcript.step(host.name(), &shown(argv), claim, |notes| {
        notes.say(host.ok(argv)?.lines().next().unwrap_or_default());
        Ok(())
    })
}

/// The command as it is shown: a token fills more than a line.
fn shown(argv: &[&str]) -> String {
    let word = |word: &&str| match word.strip_prefix("SWMTKN-1-") {
        Some(secret) => format!("SWMTKN-1-{}…", secret.get(..6).unwrap_or(secret)),
        None => (*word).to_owned(),
    };
    argv.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn create<W: Write>(transcript: &mut Transcript<W>, swarm: &Swarm) -> Result<()> {
    let replicas = REPLICAS.to_string();
    let publish = "mode=host,target=80";
    let create = ["swarmlet", "service", "create", "--name", SERVICE];
    let create = [
        &create[..],
        &["--replicas", &replicas, "--publish", publish, "whoami"],
    ]
    .concat();
    converge(transcript, swarm, &create, REPLICAS)?;
    transcript.step(
        swarm.host.name(),
        &format!("swarmlet service ps {SERVICE}"),
        "each host has its share, each replica a port of its host",
        |notes| {
            let replicas = swarm.running(SERVICE)?;
            let spread = by_host(&replicas);
            for (host, theirs) in &spread {
                let cells: Vec<String> = theirs
                    .iter()
                    .map(|r| format!("{SERVICE}.{} :{}", r.slot, r.port))
                    .collect();
                notes.say(format!("{host}  {}", cells.join("   ")));
            }
            ensure!(
                spread.len() == HOSTS && spread.values().all(|r| r.len() == REPLICAS / HOSTS),
                "expected: {} replicas on each of {HOSTS} hosts\nseen:     {spread:?}",
                REPLICAS / HOSTS
            );
            ensure!(
                replicas.iter().all(|r| r.port > 0),
                "a replica has no port: {replicas:?}"
            );
            Ok(())
        },
    )
}

/// Types `argv`, watches the count of running tasks grow to `replicas`, and
/// waits for the command itself to be content.
fn converge<W: Write>(
    transcript: &mut Transcript<W>,
    swarm: &Swarm,
    argv: &[&str],
    replicas: usize,
) -> Result<()> {
    let claim = format!("{replicas} of {replicas} run and stay up");
    let limit = PATIENCE.as_secs().to_string();
    let bounded = [&["timeout", &limit], argv].concat();
    transcript.step(swarm.host.name(), &shown(argv), &claim, |notes| {
        std::thread::scope(|scope| {
            let command = scope.spawn(|| swarm.host.ok(&bounded));
            let mut told = None;
            let expected = format!("{replicas} tasks that run");
            let seen = expect(&expected, PATIENCE, || {
                let seen = swarm.running(SERVICE).map(|tasks| tasks.len());
                if let Ok(seen) = seen
                    && told.replace(seen) != Some(seen)
                {
                    notes.say_when(format!("{seen} of {replicas} run"));
                }
                // A command that gave up has more to say than the API.
                if command.is_finished() {
                    return Ok(told);
                }
                let seen = seen?;
                ensure!(seen == replicas, "{seen} run");
                Ok(told)
            })?;
            let said = command
                .join()
                .map_err(|_| anyhow!("the command's thread died"))??;
            ensure!(
                seen == Some(replicas),
                "expected: {expected}\nseen:     {seen:?} when the command was content"
            );
            notes.say(said.trim_end().lines().next_back().unwrap_or_default());
            swarm.nothing_runs_twice(SERVICE)
        })
    })
}

fn reach<W: Write>(transcript: &mut Transcript<W>, swarm: &Swarm) -> Result<()> {
    let replicas = swarm.running(SERVICE)?;
    let spread = by_host(&replicas);
    // From its neighbour, so that each request crosses the network.
    let askers = swarm.hosts.iter().cycle().skip(1);
    for (host, asker) in swarm.hosts.iter().zip(askers) {
        let replica = spread
            .get(host.name())
            .and_then(|theirs| theirs.first())
            .with_context(|| format!("no replica runs on {}", host.name()))?;
        let url = format!("http://{}:{}/", host.name(), replica.port);
        let claim = format!(
            "{SERVICE}.{} on {} answers {}",
            replica.slot,
            host.name(),
            asker.name()
        );
        transcript.step(asker.name(), &format!("curl {url}"), &claim, |notes| {
            let answer = expect(&format!("an answer from {url}"), PATIENCE, || {
                Ok(asker.http_get(&url)?)
            })?;
            let line = |key: &str| {
                let line = answer.body.lines().find_map(|l| l.strip_prefix(key));
                line.unwrap_or_default().trim().to_owned()
            };
            let (hostname, client) = (line("Hostname:"), line("Client:"));
            notes.say(format!("Hostname: {hostname}"));
            notes.say(format!("Client: {client}"));
            ensure!(
                !hostname.is_empty() && replica.container.starts_with(&hostname),
                "expected: the container {:.12} of {SERVICE}.{}\nseen:     {} {}",
                replica.container,
                replica.slot,
                answer.status,
                answer.body
            );
            Ok(())
        })?;
    }
    Ok(())
}

fn scale<W: Write>(transcript: &mut Transcript<W>, swarm: &Swarm) -> Result<()> {
    let before = swarm.running(SERVICE)?;
    let wanted = format!("{SERVICE}={MORE_REPLICAS}");
    let argv = ["swarmlet", "service", "scale", &wanted];
    converge(transcript, swarm, &argv, MORE_REPLICAS)?;
    let after = swarm.running(SERVICE)?;
    let kept = before.iter().filter(|task| after.contains(task)).count();
    ensure!(
        kept == REPLICAS,
        "expected: {REPLICAS} tasks that run on as they did\nseen:     {kept}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_shown_from_a_column_on() {
        let table = "ID    HOSTNAME   STATUS\nx1    h1         Ready\n";
        assert_eq!(
            from_column("HOSTNAME", table),
            "HOSTNAME   STATUS\nh1         Ready\n"
        );
    }

    #[test]
    fn a_token_is_shown_shortened_and_nothing_else_is() {
        let argv = [
            "swarmlet",
            "join",
            "--token",
            "SWMTKN-1-0123456789-abc",
            "h1:2377",
        ];
        assert_eq!(
            shown(&argv),
            "swarmlet join --token SWMTKN-1-012345… h1:2377"
        );
    }
}
