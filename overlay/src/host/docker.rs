//! Docker drops what it does not know to forward; its chain `DOCKER-USER` is
//! where others may say otherwise, and it stays when Docker comes and goes.

use super::nft::{call, said};
use super::{Error, Result};
use crate::names::Names;

/// `ip6tables` has the chain only where Docker manages IPv6 too.
const PROGRAMS: [&str; 2] = ["iptables", "ip6tables"];
const CHAIN: &str = "DOCKER-USER";
/// Seconds to wait for others who change the tables.
const PATIENCE: &str = "5";

pub async fn accept(names: &Names) -> Result<()> {
    for program in PROGRAMS {
        let Some(there) = rules_there(program).await? else {
            continue;
        };
        for rule in rules(names) {
            if !there.contains(&format!("-A {CHAIN} {rule}")) {
                change(program, "-I", &rule).await?;
            }
        }
    }
    Ok(())
}

/// Has the host forward nothing but what somebody accepts, as the engine does
/// when it is the one who turns forwarding on. Where no engine keeps a firewall,
/// nobody would accept anything: nothing is done, and `false` returned.
pub async fn close_forward() -> Result<bool> {
    let [program, _] = PROGRAMS;
    if rules_there(program).await?.is_none() {
        return Ok(false);
    }
    let output = call(program, &["-w", PATIENCE, "-P", "FORWARD", "DROP"], "").await?;
    said(program, output)?;
    Ok(true)
}

pub async fn withdraw(names: &Names) -> Result<()> {
    for program in PROGRAMS {
        let there = rules_there(program).await?.unwrap_or_default();
        for rule in rules(names) {
            let line = format!("-A {CHAIN} {rule}");
            for _ in there.iter().filter(|is| **is == line) {
                change(program, "-D", &rule).await?;
            }
        }
    }
    Ok(())
}

/// Those of ours that the engine's chain lacks. None where there is no chain.
pub async fn missing(names: &Names) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    for program in PROGRAMS {
        let Some(there) = rules_there(program).await? else {
            continue;
        };
        let lines = rules(names).map(|rule| format!("-A {CHAIN} {rule}"));
        let absent = lines.into_iter().filter(|line| !there.contains(line));
        missing.extend(absent.map(|line| format!("{program} {line}")));
    }
    Ok(missing)
}

/// As `iptables -S` prints them.
fn rules(names: &Names) -> [String; 4] {
    let Names { veth, tun, .. } = names;
    [
        format!("-i {veth}+ -j ACCEPT"),
        format!("-o {veth}+ -j ACCEPT"),
        format!("-i {tun} -j ACCEPT"),
        format!("-o {tun} -j ACCEPT"),
    ]
}

/// `None` where the program or the chain is not there.
async fn rules_there(program: &'static str) -> Result<Option<Vec<String>>> {
    let output = match call(program, &["-w", PATIENCE, "-S", CHAIN], "").await {
        Err(Error::NotInstalled(_)) => return Ok(None),
        other => other?,
    };
    let lines = String::from_utf8_lossy(&output.stdout);
    let lines = lines.lines().map(str::to_owned).collect();
    Ok(output.status.success().then_some(lines))
}

async fn change(program: &'static str, verb: &str, rule: &str) -> Result<()> {
    let mut args = vec!["-w", PATIENCE, verb, CHAIN];
    args.extend(rule.split(' '));
    said(program, call(program, &args, "").await?).map(drop)
}
