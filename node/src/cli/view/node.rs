//! `node ls` and `node inspect --pretty`.

use serde::Serialize;

use super::human::{bytes, natural_order, title};
use super::page::Page;
use super::service_page::generic_resources;
use super::table::table;
use crate::api::dto::{Node, SwarmInfo, TlsInfo};

/// A line of `node ls`; its fields are the keys of `--format json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NodeRow {
    pub availability: String,
    pub engine_version: String,
    pub hostname: String,
    #[serde(rename = "ID")]
    pub id: String,
    pub manager_status: String,
    /// The node that was asked.
    #[serde(rename = "Self")]
    pub is_self: bool,
    pub status: String,
    #[serde(rename = "TLSStatus")]
    pub tls_status: String,
}

/// The nodes by name; `info` is that of the node that was asked.
pub fn node_rows(nodes: &[Node], info: &SwarmInfo) -> Vec<NodeRow> {
    let mut nodes: Vec<&Node> = nodes.iter().collect();
    nodes.sort_by(|a, b| {
        natural_order(&a.description.hostname, &b.description.hostname)
            .then_with(|| a.id.cmp(&b.id))
    });
    let authority = info.cluster.as_ref().map(|cluster| &cluster.tls_info);
    nodes
        .into_iter()
        .map(|node| NodeRow {
            availability: title(&node.spec.availability),
            engine_version: node.description.engine.engine_version.clone(),
            hostname: node.description.hostname.clone(),
            id: node.id.clone(),
            manager_status: manager_status(node),
            is_self: node.id == info.node_id,
            status: title(&node.status.state),
            tls_status: tls_status(&node.description.tls_info, authority).into(),
        })
        .collect()
}

fn manager_status(node: &Node) -> String {
    match &node.manager_status {
        None => String::new(),
        Some(status) if status.leader => "Leader".into(),
        Some(status) => title(&status.reachability),
    }
}

fn tls_status(node: &TlsInfo, authority: Option<&TlsInfo>) -> &'static str {
    let unknown = TlsInfo::default();
    match authority {
        Some(authority) if *authority != unknown && *node != unknown => match node == authority {
            true => "Ready",
            false => "Needs Rotation",
        },
        _ => "Unknown",
    }
}

pub fn node_table(rows: &[NodeRow]) -> String {
    let cells = rows.iter().map(|row| {
        let mark = if row.is_self { '*' } else { ' ' };
        vec![
            format!("{} {mark}", row.id),
            row.hostname.clone(),
            row.status.clone(),
            row.availability.clone(),
            row.manager_status.clone(),
            row.engine_version.clone(),
        ]
    });
    table(
        &[
            "ID",
            "HOSTNAME",
            "STATUS",
            "AVAILABILITY",
            "MANAGER STATUS",
            "ENGINE VERSION",
        ],
        &cells.collect::<Vec<_>>(),
    )
}

/// All about a node, to read.
pub fn node_page(node: &Node) -> String {
    let mut page = Page::new(24);
    page.line(0, "ID", &node.id);
    page.some(0, "Name", &node.spec.name);
    page.pairs("Labels", &node.spec.labels);
    page.line(0, "Hostname", &node.description.hostname);
    page.line(0, "Joined at", &super::swarm::time(node.created_at));
    page.head("Status");
    page.line(1, "State", &title(&node.status.state));
    page.some(1, "Message", &title(&node.status.message));
    if let Some(since) = node.status.since {
        page.line(1, "Since", &super::swarm::time(since));
    }
    page.line(1, "Availability", &title(&node.spec.availability));
    page.some(1, "Address", &node.status.addr);
    if let Some(manager) = &node.manager_status {
        page.head("Manager Status");
        page.line(1, "Address", &manager.addr);
        page.line(1, "Raft Status", &title(&manager.reachability));
        page.line(1, "Leader", if manager.leader { "Yes" } else { "No" });
    }
    let description = &node.description;
    page.head("Platform");
    page.line(1, "Operating System", &description.platform.os);
    page.line(1, "Architecture", &description.platform.architecture);
    page.head("Resources");
    let cpus = description.resources.nano_cpus / 1_000_000_000;
    page.line(1, "CPUs", &cpus.to_string());
    page.line(1, "Memory", &bytes(description.resources.memory_bytes));
    generic_resources(1, &description.resources.generic_resources, &mut page);
    if !description.devices.is_empty() {
        page.head("Devices");
        for device in &description.devices {
            page.text(&format!(" {device}"));
        }
    }
    let plugins = &description.engine.plugins;
    if !plugins.is_empty() {
        page.head("Plugins");
        let mut kinds: Vec<&str> = plugins.iter().map(|p| p.kind.as_str()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        for kind in kinds {
            let names: Vec<&str> = plugins
                .iter()
                .filter(|p| p.kind == kind)
                .map(|p| p.name.as_str())
                .collect();
            page.line(1, kind, &names.join(", "));
        }
    }
    page.line(0, "Engine Version", &description.engine.engine_version);
    page.pairs("Engine Labels", &description.engine.labels);
    let tls = &description.tls_info;
    if *tls != TlsInfo::default() {
        page.head("TLS Info");
        page.head_at(1, "TrustRoot");
        page.text(&tls.trust_root);
        page.line(1, "Issuer Subject", &tls.cert_issuer_subject);
        page.line(1, "Issuer Public Key", &tls.cert_issuer_public_key);
    }
    page.finish()
}
