//! `network ls` and `prune`.

use serde::Serialize;

use super::human::{natural_order, short_id};
use super::swarm::time;
use super::table::table;
use crate::api::dto::{Labels, NetworkResource};

pub const PRUNE_WARNING: &str = "WARNING! This will remove all custom networks that no container \
    and no service uses.";

/// A line of `network ls`; its fields are the keys of `--format json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkRow {
    pub created_at: String,
    pub driver: String,
    #[serde(rename = "ID")]
    pub id: String,
    #[serde(rename = "IPv6")]
    pub ipv6: String,
    pub internal: String,
    pub labels: String,
    pub name: String,
    pub scope: String,
}

/// The networks by name.
pub fn network_rows(networks: &[NetworkResource], truncate: bool) -> Vec<NetworkRow> {
    let mut networks: Vec<&NetworkResource> = networks.iter().collect();
    networks.sort_by(|a, b| natural_order(&a.name, &b.name).then_with(|| a.id.cmp(&b.id)));
    networks
        .into_iter()
        .map(|network| NetworkRow {
            created_at: time(network.created),
            driver: network.driver.clone(),
            id: match truncate {
                true => short_id(&network.id).to_owned(),
                false => network.id.clone(),
            },
            ipv6: network.enable_ipv6.to_string(),
            internal: network.internal.to_string(),
            labels: labels(network.labels.as_ref()),
            name: network.name.clone(),
            scope: network.scope.clone(),
        })
        .collect()
}

pub fn labels(labels: Option<&Labels>) -> String {
    let labels = labels.into_iter().flatten();
    let pairs: Vec<String> = labels
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.join(",")
}

pub fn network_table(rows: &[NetworkRow]) -> String {
    let cells = rows.iter().map(|row| {
        [&row.id, &row.name, &row.driver, &row.scope]
            .map(String::clone)
            .to_vec()
    });
    table(
        &["NETWORK ID", "NAME", "DRIVER", "SCOPE"],
        &cells.collect::<Vec<_>>(),
    )
}

/// Says which are gone; nothing where none is.
pub fn pruned(names: &[String]) -> String {
    match names {
        [] => String::new(),
        names => format!("Deleted Networks:\n{}\n\n", names.join("\n")),
    }
}
