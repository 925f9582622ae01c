//! A device that becomes a swarm and stops being one, again and again.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use stopwatch::MachineInstant;
use swarmlet_testnet::Host;

use super::kit::{Swarm, argv, claim, soon};
use crate::runner::Context;

const ROUNDS: usize = 50;
/// For each of the two commands, each time.
const LIMIT: Duration = Duration::from_secs(1);
const SOCKET: &str = "unix:///run/swarmlet/swarmlet.sock";

/// All that a swarm could leave on a host, a line for each thing. Which free
/// port a socket has is chance, and what looks is not there otherwise.
const LOOK: &str = r#"
of() { what=$1; shift; "$@" 2>&1 | sed "s/^/$what: /"; }
of interface ip -o link show
of address ip -o addr show
of route ip route show table all
of route ip -6 route show table all
of rule ip rule show
of rule ip -6 rule show
of table nft -s list ruleset
of firewall iptables -S
of nat iptables -t nat -S
of forwarding cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding
of network docker network ls --no-trunc
of container docker ps -a --no-trunc
of volume docker volume ls
ss -Hlntu | sed -E 's/:[0-9]{5}/:any/' | sort | uniq -c | sed 's/^/socket: /'
of file find /var/lib/swarmlet /run/swarmlet /run/docker/plugins /etc/docker
of mount cut -d ' ' -f 2 /proc/self/mounts
for process in /proc/[0-9]*; do
    of process cat $process/comm
done | grep -vxE 'process: (sh|sed|cat|grep)'
"#;

pub fn fifty_swarms_in_a_row_leave_nothing(context: &Context) -> Result<()> {
    let swarm = Swarm::unformed(context, 1)?;
    let host = swarm.host(1);
    let init = format!("swarm init --advertise-addr {}", host.ip());
    // The engine's own networks and rules are there from its first use on.
    round(host, &init)?;
    // The host is young: the kernel may still be trying an address of its own.
    let before = soon("addresses that are settled", || {
        let before = looked(host)?;
        let tentative = before.iter().find(|line| line.contains(" tentative "));
        ensure!(tentative.is_none(), "{tentative:?}");
        Ok(before)
    })?;
    let held = held(host)?;
    let (mut inits, mut leaves) = (Vec::new(), Vec::new());
    claim("each leaves the host as it was", || {
        for number in 1..=ROUNDS {
            let (init, leave) = round(host, &init)?;
            inits.push(init);
            leaves.push(leave);
            // The port is let go of in the background.
            soon("nothing to be left", || {
                let after = looked(host)?;
                let other: Vec<&String> = before.symmetric_difference(&after).collect();
                ensure!(other.is_empty(), "after round {number}: {other:#?}");
                Ok(())
            })?;
        }
        Ok(())
    })?;
    claim("the daemon holds no more than after the first", || {
        soon("its files to be closed", || {
            let now = self::held(host)?;
            ensure!(now <= held + 2, "{held} files and threads became {now}");
            Ok(())
        })
    })?;
    claim("each takes less than a second", || {
        for (what, mut times) in [("init", inits), ("leave --force", leaves)] {
            times.sort();
            let (median, most) = (times[ROUNDS / 2], times[ROUNDS - 1]);
            println!("    {what}: median {median:.3?}, at most {most:.3?}");
            ensure!(most < LIMIT, "{what} took {most:.3?}");
        }
        Ok(())
    })
}

/// Makes a swarm and leaves it, by Docker's own program; how long each took.
fn round(host: &Host, init: &str) -> Result<(Duration, Duration)> {
    let timed = |line: &str| -> Result<Duration> {
        let line = format!("-H {SOCKET} {line}");
        let start = MachineInstant::now();
        host.ok(&argv("docker", &line))?;
        Ok(start.elapsed().had())
    };
    Ok((timed(init)?, timed("swarm leave --force")?))
}

fn looked(host: &Host) -> Result<BTreeSet<String>> {
    let seen = host.ok(&["sh", "-c", LOOK])?;
    Ok(seen.lines().map(str::to_owned).collect())
}

/// Open files and threads of the daemon.
fn held(host: &Host) -> Result<usize> {
    let pid = host.daemon().pid()?;
    let mut count = 0;
    for folder in ["fd", "task"] {
        let path = format!("/proc/{pid}/{folder}");
        count += fs::read_dir(&path).with_context(|| path)?.count();
    }
    Ok(count)
}
