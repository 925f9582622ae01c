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
        commit(program, &renewed(&there, &wanted)).await?;
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
    let rules = &rules(names);
    let [v4, v6] = PROGRAMS.map(|program| async move {
        let there = lines_of(program, CHAIN).await?.unwrap_or_default();
        commit(program, &removed(&there, rules)).await
    });
    let (v4, v6) = tokio::join!(v4, v6);
    v4.and(v6)
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

/// The changes that put the rules behind all others but the engine's own: all
/// of them anew, for their order.
fn renewed(there: &[String], rules: &[String]) -> Vec<String> {
    let mut others = there.to_vec();
    others.retain(|is| !rules.iter().any(|rule| *is == line(rule)));
    let mut changes = removed(there, rules);
    let added = rules.iter().zip(end_of(&others)..);
    changes.extend(added.map(|(rule, at)| format!("-I {CHAIN} {at} {rule}")));
    changes
}

/// The changes that remove every one of the rules that is `there`.
fn removed(there: &[String], rules: &[String]) -> Vec<String> {
    let ours = rules.iter().flat_map(|rule| {
        let times = there.iter().filter(|is| **is == line(rule)).count();
        std::iter::repeat_n(format!("-D {CHAIN} {rule}"), times)
    });
    ours.collect()
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

/// Makes all of the changes or none. One process for each takes a slow device
/// a second.
async fn commit(program: &'static str, changes: &[String]) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let program = match program {
        "iptables" => "iptables-restore",
        _ => "ip6tables-restore",
    };
    let script = format!("*filter\n{}\nCOMMIT\n", changes.join("\n"));
    let output = call(program, &["-w", PATIENCE, "--noflush"], &script).await?;
    said(program, output).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn rules_go_behind_those_of_others_and_before_the_engines_own() {
        let there = owned(&[
            "-N DOCKER-USER",
            "-A DOCKER-USER -o swl0 -j ACCEPT",
            "-A DOCKER-USER -s 10.0.0.9/32 -j DROP",
            "-A DOCKER-USER -o swl0 -j ACCEPT",
            "-A DOCKER-USER -j RETURN",
        ]);
        let rules = owned(&["-i swl0 -j ACCEPT", "-o swl0 -j ACCEPT"]);
        assert_eq!(
            renewed(&there, &rules),
            [
                "-D DOCKER-USER -o swl0 -j ACCEPT",
                "-D DOCKER-USER -o swl0 -j ACCEPT",
                "-I DOCKER-USER 2 -i swl0 -j ACCEPT",
                "-I DOCKER-USER 3 -o swl0 -j ACCEPT",
            ]
        );
    }

    #[test]
    fn where_none_is_there_none_is_removed() {
        let there = owned(&["-N DOCKER-USER", "-A DOCKER-USER -j RETURN"]);
        assert!(removed(&there, &owned(&["-o swl0 -j ACCEPT"])).is_empty());
    }
}
