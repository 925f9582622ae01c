//! `stack ls`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::human::natural_order;
use super::table::table;
use crate::api::dto::Service;
use crate::cli::stack::NAMESPACE_LABEL;

/// A line of `stack ls`; its fields are the keys of `--format json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct StackRow {
    pub name: String,
    /// How many it has.
    pub services: String,
}

/// The stacks that `services` are of, by name.
pub fn stack_rows(services: &[Service]) -> Vec<StackRow> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for stack in services
        .iter()
        .filter_map(|service| service.spec.labels.get(NAMESPACE_LABEL))
    {
        *counts.entry(stack).or_default() += 1;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by(|(a, _), (b, _)| natural_order(a, b));
    counts
        .into_iter()
        .map(|(name, services)| StackRow {
            name: name.to_owned(),
            services: services.to_string(),
        })
        .collect()
}

pub fn stack_table(rows: &[StackRow]) -> String {
    let cells = rows
        .iter()
        .map(|row| vec![row.name.clone(), row.services.clone()]);
    table(&["NAME", "SERVICES"], &cells.collect::<Vec<_>>())
}
