//! The words in which scenarios are told: a swarm, its tasks, its containers.
//!
//! Tasks and nodes are what a manager answers over its API, containers are
//! what an engine answers over its own. That the two agree is most of what the
//! scenarios claim: [`Swarm::settled`].

mod api;
mod inside;
mod load;
mod rules;
mod swarm;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use swarmlet_testnet::{Host, wait_for};

pub use api::{
    Container, Task, containers, filters, get, get_engine, leader, member, members, node, nodes,
    running, service, tasks,
};
pub use inside::{Inside, ask_udp, get_at};
pub use load::Load;
pub use rules::backends;
pub use swarm::Swarm;

/// For what takes a few seconds at most; long, because the machine may be busy.
pub const SOON: Duration = Duration::from_secs(40);

/// A device that is lost is replaced within this time.
pub const REPLACED: Duration = Duration::from_secs(3);

/// Does what a scenario claims; tells how long it took, or what was not so.
pub fn claim(what: &str, check: impl FnOnce() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    check().with_context(|| format!("not so: {what}"))?;
    println!("  {what} ({:.1} s)", start.elapsed().as_secs_f64());
    Ok(())
}

/// [`wait_for`], [`SOON`].
pub fn soon<T>(what: &str, probe: impl FnMut() -> Result<T>) -> Result<T> {
    Ok(wait_for(what, SOON, probe)?)
}

/// Runs `swarmlet` with the words of `line`, which are not unquoted, and
/// returns what it printed.
pub fn swarmlet(host: &Host, line: &str) -> Result<String> {
    Ok(host.ok(&argv("swarmlet", line))?)
}

/// The same with a last argument that may contain anything.
pub fn swarmlet_with(host: &Host, line: &str, last: &str) -> Result<String> {
    let mut argv = argv("swarmlet", line);
    argv.push(last);
    Ok(host.ok(&argv)?)
}

/// The docker program that came with the machine, against the host's engine.
pub fn docker(host: &Host, line: &str) -> Result<String> {
    Ok(host.ok(&argv("docker", line))?)
}

/// Runs `swarmlet` and holds it to a refusal: an exit code that is not zero,
/// nothing on stdout, and `wanted` in what it says on stderr.
pub fn refused(host: &Host, line: &str, wanted: &str) -> Result<()> {
    refused_with(host, &argv("swarmlet", line), wanted)
}

/// [`refused`] for arguments with spaces, after [`argv`].
pub fn refused_with(host: &Host, argv: &[&str], wanted: &str) -> Result<()> {
    let output = host.run(argv)?;
    let line = argv.join(" ");
    ensure!(!output.ok(), "`{line}` was not refused:\n{output}");
    ensure!(
        output.status.code().is_some_and(|code| code < 128),
        "`{line}` was killed:\n{output}"
    );
    ensure!(
        output.stderr.contains(wanted),
        "`{line}` does not say {wanted:?}:\n{output}"
    );
    ensure!(
        output.stdout.trim().is_empty(),
        "`{line}` has something on stdout:\n{output}"
    );
    Ok(())
}

/// The JSON objects that a command prints with `--format json`, one a line.
pub fn rows(host: &Host, line: &str) -> Result<Vec<Value>> {
    let printed = swarmlet(host, &format!("{line} --format json"))?;
    let rows: Result<Vec<Value>, _> = printed.lines().map(serde_json::from_str).collect();
    rows.with_context(|| format!("`{line}` printed no JSON: {printed}"))
}

/// Waits until `service ps` has a task whose CURRENT STATE starts with one of
/// `states` and whose ERROR contains `error`.
pub fn await_ended(host: &Host, service: &str, states: &[&str], error: &str) -> Result<()> {
    let what = format!("{service} to be {states:?} with {error:?}");
    soon(&what, || {
        let rows = rows(host, &format!("service ps --no-trunc {service}"))?;
        let text = |row: &Value, key| row[key].as_str().unwrap_or_default().to_owned();
        let found = rows.iter().any(|row| {
            let state = text(row, "CurrentState");
            states.iter().any(|wanted| state.starts_with(wanted))
                && text(row, "Error").contains(error)
        });
        ensure!(found, "{}", Value::from(rows));
        Ok(())
    })
}

/// The words of a command that is killed if it hangs.
pub fn argv<'a>(program: &'a str, line: &'a str) -> Vec<&'a str> {
    ["timeout", "--signal=KILL", "60", program]
        .into_iter()
        .chain(line.split_whitespace())
        .collect()
}
