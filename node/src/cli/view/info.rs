//! `swarmlet info`.

use serde_json::Value;

use super::human::bytes;
use super::page::Page;
use crate::api::dto::Info;
use crate::cli::values::Nanos;

/// The node, its engine and its swarm, to read.
pub fn info(info: &Info) -> String {
    let mut page = Page::new(22);
    page.line(0, "Name", &info.name);
    page.line(0, "Engine Version", &info.server_version);
    for (name, key) in [
        ("Operating System", "OperatingSystem"),
        ("Kernel Version", "KernelVersion"),
        ("Architecture", "Architecture"),
    ] {
        let value = info.extra.get(key).and_then(Value::as_str);
        page.some(0, name, value.unwrap_or_default());
    }
    let number = |key| info.extra.get(key).and_then(Value::as_i64);
    if let Some(cpus) = number("NCPU") {
        page.line(0, "CPUs", &cpus.to_string());
    }
    if let Some(memory) = number("MemTotal") {
        page.line(0, "Total Memory", &bytes(memory));
    }
    swarm(info, &mut page);
    let warnings = info.extra.get("Warnings").and_then(Value::as_array);
    for warning in warnings.into_iter().flatten().filter_map(Value::as_str) {
        page.text(warning);
    }
    page.finish()
}

fn swarm(info: &Info, page: &mut Page) {
    let swarm = &info.swarm;
    page.line(0, "Swarm", &swarm.local_node_state);
    if swarm.local_node_state == "inactive" || swarm.local_node_state == "locked" {
        return;
    }
    page.line(1, "NodeID", &swarm.node_id);
    page.some(1, "Error", &swarm.error);
    page.line(1, "Is Manager", &swarm.control_available.to_string());
    if let Some(cluster) = swarm.cluster.as_ref().filter(|_| swarm.control_available) {
        page.line(1, "ClusterID", &cluster.id);
        page.line(1, "Managers", &swarm.managers.to_string());
        page.line(1, "Nodes", &swarm.nodes.to_string());
        let history = cluster.spec.orchestration.task_history_retention_limit;
        page.line(1, "Task History Limit", &history.unwrap_or(5).to_string());
        let expiry = Nanos(cluster.spec.ca_config.node_cert_expiry);
        page.line(1, "Certificate Expiry", &expiry.to_string());
    }
    page.line(1, "Node Address", &swarm.node_addr);
    let mut managers: Vec<&str> = swarm
        .remote_managers
        .iter()
        .flatten()
        .map(|manager| manager.addr.as_str())
        .collect();
    managers.sort_unstable();
    if !managers.is_empty() {
        page.head_at(1, "Manager Addresses");
        for addr in managers {
            page.text(&format!("  {addr}"));
        }
    }
}
