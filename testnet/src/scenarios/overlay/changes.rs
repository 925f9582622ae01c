//! What clients notice of changes that are planned: nothing.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};

use super::CLIENT;
use crate::runner::Context;
use crate::scenarios::kit::{self, Inside, Load, Swarm, claim, soon, swarmlet};

/// Of each kind: through the VIP, and through ingress.
const CLIENTS: usize = 2;

pub fn an_update_under_load_drops_no_request(context: &Context) -> Result<()> {
    let swarm = Swarm::of(context, 3)?;
    let ask = swarm.host(1);
    swarmlet(ask, "network create front")?;
    let line = "service create -d --name web --replicas 3 --network front -p 8080:80 \
                --update-monitor 500ms whoami";
    swarmlet(ask, line)?;
    let line = format!("service create -d --name client --network front {CLIENT}");
    swarmlet(ask, &line)?;
    swarm.settled(ask, "web", 3)?;
    let client = swarm.inside(ask, "client", 1)?.remove(0);

    claim("an update, one task after the other", || {
        unnoticed(&swarm, &client, || {
            swarmlet(ask, "service update --env-add VERSION=2 web")
        })
    })?;
    claim("an update of ten that starts the new tasks first", || {
        swarmlet(ask, "service scale web=10")?;
        let old = swarm.settled(ask, "web", 10)?;
        unnoticed(&swarm, &client, || {
            let line = "service update --update-order start-first --env-add VERSION=3 web";
            swarmlet(ask, line)
        })?;
        let new = swarm.settled(ask, "web", 10)?;
        ensure!(new.iter().all(|task| !old.contains(task)), "{new:#?}");
        Ok(())
    })?;
    claim("more tasks, and fewer again", || {
        unnoticed(&swarm, &client, || {
            swarmlet(ask, "service scale web=12")?;
            swarm.settled(ask, "web", 12)?;
            swarmlet(ask, "service scale web=2")?;
            swarm.settled(ask, "web", 2)?;
            Ok(())
        })
    })?;
    claim("a device that is drained", || {
        unnoticed(&swarm, &client, || {
            let name = swarm.others(client.host())[0].name();
            swarmlet(ask, &format!("node update --availability drain {name}"))?;
            soon("it to be empty", || {
                let left = kit::running(ask, "web")?;
                ensure!(left.iter().all(|task| task.node != name), "{left:#?}");
                ensure!(left.len() == 2, "{left:#?}");
                Ok(())
            })?;
            swarmlet(ask, &format!("node update --availability active {name}"))?;
            Ok(())
        })
    })?;
    claim("another port in the containers", || {
        all_answered_while(vec![by_ingress(&swarm)?], || {
            let line = "service update --publish-rm 80 --publish-add 8080:81";
            let mut argv = kit::argv("swarmlet", line);
            argv.extend(["--args=--port 81", "web"]);
            Ok(ask.ok(&argv)?)
        })
    })?;
    claim("a task that is not yet healthy is asked nothing", || {
        starting(&swarm, &client)
    })
}

/// Not one request fails while `change` is made, by the VIP or by a published port.
fn unnoticed<T>(swarm: &Swarm, client: &Inside, change: impl FnOnce() -> Result<T>) -> Result<()> {
    let vip = client
        .resolve("web")?
        .into_iter()
        .next()
        .context("no VIP")?;
    let by_vip = Load::on(&client.netns()?, SocketAddr::new(vip, 80), CLIENTS);
    all_answered_while(vec![by_vip, by_ingress(swarm)?], change)
}

fn by_ingress(swarm: &Swarm) -> Result<Load> {
    let entry = SocketAddr::new(swarm.host(2).ip().into(), 8080);
    Ok(Load::on(&swarm.host(1).netns()?, entry, CLIENTS))
}

fn all_answered_while<T>(loads: Vec<Load>, change: impl FnOnce() -> Result<T>) -> Result<()> {
    for load in &loads {
        load.flows()?;
    }
    change()?;
    for load in &loads {
        load.flows()?;
    }
    for load in loads {
        load.stop()?.all_answered()?;
    }
    Ok(())
}

fn starting(swarm: &Swarm, client: &Inside) -> Result<()> {
    let line = "service create -d --name slow --network front --health-interval 200ms \
                --health-retries 1000 --constraint node.hostname==h3 --health-cmd";
    let mut argv = kit::argv("swarmlet", line);
    argv.extend(["test -e /tmp/well", "whoami"]);
    let h3 = swarm.host(3);
    h3.ok(&argv)?;
    let started = soon("a container that is not healthy yet", || {
        let all = kit::containers(h3, "slow")?;
        let started = all.into_iter().find(|container| container.runs);
        started.context("none runs")
    })?;
    let vip = soon("its name", || {
        client.resolve("slow")?.into_iter().next().context("no VIP")
    })?;
    let answer = client.get_at(vip);
    ensure!(answer.is_err(), "it was asked: {answer:?}");
    Inside::of(h3, &started.id).touch("well")?;
    soon("it to answer", || client.get_at(vip))?;
    Ok(())
}
