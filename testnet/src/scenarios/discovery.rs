//! What monitoring finds by itself: Prometheus, told no more than the socket.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use swarmlet_testnet::{Host, ensure_programs};

use super::kit::{self, Swarm, Task, claim, soon, swarmlet};
use crate::runner::Context;

const ROLES: [&str; 3] = ["services", "tasks", "nodes"];
const LABEL: &str = "__meta_dockerswarm_";

/// The labels of one target, without what all of their names begin with.
type Target = BTreeMap<String, String>;

pub fn prometheus_discovers_services_tasks_and_nodes(context: &Context) -> Result<()> {
    ensure_programs(&[("prometheus", "prometheus")])?;
    let swarm = Swarm::of(context, 2)?;
    let ask = swarm.host(1);
    swarmlet(ask, "node update --label-add shop.floor=2 h2")?;
    swarmlet(ask, "network create front")?;
    swarmlet(
        ask,
        "service create -d --name web --replicas 2 --label team=blue \
         --container-label part=shop --network front -p 8080:80 whoami",
    )?;
    let tasks = swarm.settled(ask, "web", 2)?;
    start(ask)?;
    claim("the nodes, with what they are", || nodes(ask))?;
    claim("the service, at its address on its network", || {
        service(ask)
    })?;
    claim("its tasks, at theirs", || {
        soon("the targets of the tasks", || all_found(ask, &tasks))
    })?;
    claim("what changes, as it changes", || {
        swarmlet(ask, "service scale web=3")?;
        let tasks = swarm.settled(ask, "web", 3)?;
        soon("the third one's targets", || all_found(ask, &tasks))?;
        swarmlet(ask, "service rm web")?;
        soon("its targets to go", || {
            for role in ["services", "tasks"] {
                let left = targets(ask, role)?;
                ensure!(left.is_empty(), "{role}: {left:#?}");
            }
            Ok(())
        })
    })
}

fn start(host: &Host) -> Result<()> {
    let jobs = ROLES.map(|role| {
        format!(
            "- job_name: {role}\n  dockerswarm_sd_configs:\n  - host: \
             unix:///run/swarmlet/swarmlet.sock\n    role: {role}\n    refresh_interval: 1s\n"
        )
    });
    let dir = "/var/lib/prometheus-of-test";
    std::fs::create_dir_all(host.path(dir)?)?;
    let config = format!("scrape_configs:\n{}", jobs.concat());
    std::fs::write(host.path(&format!("{dir}/config.yml"))?, config)?;
    let line = format!(
        "prometheus --config.file={dir}/config.yml --storage.tsdb.path={dir}/data \
         --web.listen-address=127.0.0.1:9090 > {dir}/log 2>&1 &"
    );
    host.ok(&["sh", "-c", &line])?;
    soon("Prometheus to be ready", || {
        let answer = host.http_get("http://localhost:9090/-/ready");
        let log = || host.run(&["tail", "-n", "5", &format!("{dir}/log")]);
        let answer = answer.or_else(|e| Err(e).context(log()?.stdout))?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    })
}

/// What Prometheus knows of a role now.
fn targets(host: &Host, role: &str) -> Result<Vec<Target>> {
    let url = "http://localhost:9090/api/v1/targets?state=active";
    let answer = host.http_get(url)?.json()?;
    let all = answer["data"]["activeTargets"].as_array();
    let all = all.with_context(|| answer.to_string())?;
    let of_role = all.iter().filter(|target| target["scrapePool"] == role);
    Ok(of_role.map(|it| labels(&it["discoveredLabels"])).collect())
}

fn labels(shown: &Value) -> Target {
    let labels = shown.as_object().into_iter().flatten();
    let named = labels.filter_map(|(name, value)| {
        let name = name.strip_prefix(LABEL).unwrap_or(name);
        Some((name.to_owned(), value.as_str()?.to_owned()))
    });
    named.collect()
}

/// Exactly one of `targets` has all of `wanted`.
fn found(targets: &[Target], wanted: &[(&str, &str)]) -> Result<()> {
    let has = |target: &&Target| {
        let mut wanted = wanted.iter();
        wanted.all(|(name, value)| target.get(*name).is_some_and(|it| it == value))
    };
    let count = targets.iter().filter(has).count();
    ensure!(count == 1, "{count} have {wanted:?} of {targets:#?}");
    Ok(())
}

fn nodes(host: &Host) -> Result<()> {
    soon("the targets of the nodes", || {
        let targets = targets(host, "nodes")?;
        let nodes = kit::nodes(host)?;
        ensure!(targets.len() == nodes.len(), "{targets:#?}");
        for node in nodes {
            let address = format!("{}:80", node.address);
            let leads = node.leads.to_string();
            let wanted = [
                ("__address__", &*address),
                ("node_id", &node.id),
                ("node_hostname", &node.name),
                ("node_address", &node.address),
                ("node_status", "ready"),
                ("node_availability", "active"),
                ("node_role", &node.role),
                ("node_manager_leader", &leads),
                ("node_manager_reachability", "reachable"),
                ("node_platform_os", "linux"),
            ];
            found(&targets, &wanted)?;
        }
        found(&targets, &[("node_label_shop_floor", "2")])
    })
}

fn service(host: &Host) -> Result<()> {
    let service = kit::service(host, "web")?;
    let address = &service["Endpoint"]["VirtualIPs"][0]["Addr"];
    let address = address.as_str().context("the service has no address")?;
    let address = format!("{}:8080", address.split('/').next().unwrap_or_default());
    soon("the target of the service", || {
        let wanted = [
            ("__address__", &*address),
            ("service_id", service["ID"].as_str().unwrap_or_default()),
            ("service_name", "web"),
            ("service_mode", "replicated"),
            ("service_label_team", "blue"),
            ("service_endpoint_port_publish_mode", "ingress"),
            ("service_task_container_image", "whoami:latest"),
            ("network_name", "front"),
            ("network_scope", "swarm"),
            ("network_ingress", "false"),
        ];
        found(&targets(host, "services")?, &wanted)
    })
}

/// A target for each task and network that it is on, and no other.
fn all_found(host: &Host, tasks: &[Task]) -> Result<()> {
    let targets = targets(host, "tasks")?;
    ensure!(targets.len() == 2 * tasks.len(), "{targets:#?}");
    for task in tasks {
        let shown = kit::get(host, &format!("/tasks/{}", task.id))?;
        let networks = shown["NetworksAttachments"].as_array();
        for on in networks.with_context(|| shown.to_string())? {
            let address = on["Addresses"][0].as_str().unwrap_or_default();
            let address = format!("{}:8080", address.split('/').next().unwrap_or_default());
            let slot = task.slot.to_string();
            let network = on["Network"]["Spec"]["Name"].as_str();
            let wanted = [
                ("__address__", &*address),
                ("task_id", &task.id),
                ("task_slot", &slot),
                ("task_state", "running"),
                ("task_desired_state", "running"),
                ("task_container_id", &task.container),
                ("task_port_publish_mode", "ingress"),
                ("container_label_part", "shop"),
                ("service_name", "web"),
                ("service_label_team", "blue"),
                ("node_hostname", &task.node),
                ("network_name", network.unwrap_or_default()),
            ];
            found(&targets, &wanted)?;
        }
    }
    Ok(())
}
