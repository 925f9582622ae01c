//! Docker drops what it does not know to forward; its chain `DOCKER-USER` is
//! where others may say otherwise, and it stays when Docker comes and goes.

use super::nft::{call, said};
use super::{Error, Result};
use crate::names::Names;

/// `ip6tables` has the chain only where Docker manages IPv6 too.
const PROGRAMS: [&str; 2] = ["iptables", "ip6tables"];
pub const CHAIN: &str = "DOCKER-USER";
/// Drops what goes to any of the engine's bridges. Not every engine has it.
pub const ISOLATION: &str = "DOCKER-ISOLATION-STAGE-2";
/// Seconds to wait for others who change the tables.
const PATIENCE: &str = "5";

/// Where the kernel lists the older kind of tables, those that it does not tell of.
const UNTOLD: [&str; 2] = [
    "/proc/thread-self/net/ip_tables_names",
    "/proc/thread-self/net/ip6_tables_names",
];

/// Whether the kernel tells who listens of changes to the engine's firewall.
pub fn is_heard() -> bool {
    let mut lists = UNTOLD.iter().flat_map(std::fs::read_to_string);
    !lists.any(|list| list.lines().any(|table| table == "filter"))
}

/// Puts our rules behind those of the host's administrator, who may refuse what
/// we accept.
pub async fn accept(names: &Names) -> Result<()> {
    for program in PROGRAMS {
        let Some(there) = lines_of(program, CHAIN).await? else {
            continue;
        };
        let wanted = wanted(program, names).await?;
        if wanted.iter().all(|rule| there.contains(&line(rule))) {
            continue;
        }
        // All anew, for their order.
        remove(program, &there, &wanted).await?;
        let others = lines_of(program, CHAIN).await?.unwrap_or_default();
        let end = end_of(&others);
        for (rule, at) in wanted.iter().zip(end..) {
            change(program, &format!("-I {CHAIN} {at} {rule}")).await?;
        }
    }
    Ok(())
}

/// Has the host forward nothing but what somebody accepts, as the engine does
/// when it is the one who turns forwarding on. Where no engine keeps a firewall,
/// nobody would accept anything: nothing is done, and `false` returned.
pub async fn close_forward() -> Result<bool> {
    let [program, _] = PROGRAMS;
    if lines_of(program, CHAIN).await?.is_none() {
        return Ok(false);
    }
    let output = call(program, &["-w", PATIENCE, "-P", "FORWARD", "DROP"], "").await?;
    said(program, output)?;
    Ok(true)
}

pub async fn withdraw(names: &Names) -> Result<()> {
    for program in PROGRAMS {
        let there = lines_of(program, CHAIN).await?.unwrap_or_default();
        remove(program, &there, &rules(names)).await?;
    }
    Ok(())
}

/// Those of ours that the engine's chain lacks. None where there is no chain.
pub async fn missing(names: &Names) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    for program in PROGRAMS {
        let Some(there) = lines_of(program, CHAIN).await? else {
            continue;
        };
        let lines = wanted(program, names).await?;
        let lines = lines.iter().map(|rule| line(rule));
        let absent = lines.filter(|line| !there.contains(line));
        missing.extend(absent.map(|line| format!("{program} {line}")));
    }
    Ok(missing)
}

/// As `iptables -S` prints them, in their order: a container of ours may start
/// nothing with those on the engine's bridges, as those on two bridges may not.
fn rules(names: &Names) -> [String; 6] {
    let Names { veth, tun, .. } = names;
    [
        format!("-i {veth}+ -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT"),
        format!("-i {veth}+ -j {ISOLATION}"),
        format!("-i {veth}+ -j ACCEPT"),
        format!("-o {veth}+ -j ACCEPT"),
        format!("-i {tun} -j ACCEPT"),
        format!("-o {tun} -j ACCEPT"),
    ]
}

/// Those of them that this engine's chains allow.
async fn wanted(program: &'static str, names: &Names) -> Result<Vec<String>> {
    let isolates = lines_of(program, ISOLATION).await?.is_some();
    let rules = rules(names).into_iter();
    Ok(rules
        .filter(|rule| isolates || !rule.ends_with(ISOLATION))
        .collect())
}

fn line(rule: &str) -> String {
    format!("-A {CHAIN} {rule}")
}

/// The number that a rule has which comes last, before the engine's own.
fn end_of(lines: &[String]) -> usize {
    let mut rules = lines.iter().filter(|line| line.starts_with("-A"));
    let count = rules.clone().count();
    let returns = rules
        .next_back()
        .is_some_and(|last| *last == line("-j RETURN"));
    if returns { count } else { count + 1 }
}

async fn remove(program: &'static str, there: &[String], rules: &[String]) -> Result<()> {
    for rule in rules {
        for _ in there.iter().filter(|is| **is == line(rule)) {
            change(program, &format!("-D {CHAIN} {rule}")).await?;
        }
    }
    Ok(())
}

/// `None` where the program or the chain is not there.
async fn lines_of(program: &'static str, chain: &str) -> Result<Option<Vec<String>>> {
    let output = match call(program, &["-w", PATIENCE, "-S", chain], "").await {
        Err(Error::NotInstalled(_)) => return Ok(None),
        other => other?,
    };
    let lines = String::from_utf8_lossy(&output.stdout);
    let lines = lines.lines().map(str::to_owned).collect();
    Ok(output.status.success().then_some(lines))
}

async fn change(program: &'static str, words: &str) -> Result<()> {
    let mut args = vec!["-w", PATIENCE];
    args.extend(words.split(' '));
    said(program, call(program, &args, "").await?).map(drop)
}
