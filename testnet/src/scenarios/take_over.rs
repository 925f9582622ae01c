//! Most managers lose their power, and the one that is left goes on.

use anyhow::{Context as _, Result, ensure};

use super::kit::{self, Swarm, claim, refused, soon, swarmlet};
use crate::runner::Context;

/// h1 to h3 are managers, h4 is a worker; h3 is left.
pub fn one_manager_takes_over_when_the_others_are_lost(context: &Context) -> Result<()> {
    let swarm = Swarm::of(context, 4)?;
    let (first, second, left, worker) =
        (swarm.host(1), swarm.host(2), swarm.host(3), swarm.host(4));
    swarmlet(left, "secret create key /etc/hostname")?;
    swarmlet(left, "service create -d --name web --replicas 8 whoami")?;
    swarm.settled(left, "web", 8)?;
    let token = swarmlet(left, "join-token -q manager")?;
    refused(
        left,
        "init --force-new-cluster",
        "The managers of this swarm agree",
    )?;
    let kept = [left, worker].map(|host| kit::containers(host, "web"));

    first.kill()?;
    second.kill()?;
    claim("nothing can be changed any more", || {
        soon("no leader", || {
            refused(left, "service scale -d web=4", "does not have a leader")
        })
    })?;
    claim("the one that is left takes over with all it knows", || {
        swarmlet(left, "init --force-new-cluster")?;
        let nodes = kit::nodes(left)?;
        let mut names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
        names.sort_unstable();
        ensure!(names == ["h3", "h4"], "{nodes:#?}");
        ensure!(kit::leader(left)? == "h3");
        ensure!(swarmlet(left, "join-token -q manager")? == token);
        let secrets = swarmlet(left, "secret ls")?;
        ensure!(secrets.contains("key"), "{secrets}");
        Ok(())
    })?;
    claim(
        "what was lost is replaced, and nothing else restarts",
        || {
            swarm.settled(left, "web", 8)?;
            for (host, before) in [left, worker].into_iter().zip(kept) {
                let now = kit::containers(host, "web")?;
                let kept = before?.iter().all(|container| now.contains(container));
                ensure!(kept, "of {}: {now:#?}", host.name());
            }
            Ok(())
        },
    )?;
    claim("one that comes back is refused, and says so", || {
        first.boot()?;
        soon("a word of the removal", || {
            let info = swarmlet(first, "info")?;
            let said = info.contains("was removed from the swarm");
            said.then_some(()).context(info)
        })?;
        swarm.settled(left, "web", 8)?;
        Ok(())
    })?;
    claim("it joins again as a new node", || {
        swarmlet(first, "leave --force")?;
        let join = format!("join --token {} {}:2377", token.trim(), left.ip());
        swarmlet(first, &join)?;
        soon("two managers", || {
            let nodes = kit::nodes(left)?;
            let votes = nodes.iter().filter(|node| node.reachability == "reachable");
            ensure!(votes.count() == 2, "{nodes:#?}");
            Ok(())
        })
    })
}
