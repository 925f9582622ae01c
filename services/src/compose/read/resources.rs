//! How much of a node a task has: `deploy.resources`, and the keys of the
//! second version of Compose files that said the same.

use std::collections::BTreeMap;

use super::super::item::{Fields, Item};
use super::super::model::Deploy;
use super::gpus;
use crate::spec::{GpuRequest, ResourceAmounts, Resources};
use crate::text;

/// `deploy.resources`.
pub(super) struct Amounts {
    pub resources: Resources,
    pub generic: BTreeMap<String, i64>,
    pub gpus: Option<GpuRequest>,
}

pub(super) fn read_resources(item: &Item<'_>) -> Option<Amounts> {
    let mut fields = item.fields()?;
    let limits = fields.get("limits", |item| {
        let mut fields = item.fields()?;
        let mut amounts = read_amounts(&mut fields);
        amounts.pids = fields.or_default("pids", read_pids);
        fields.finish();
        Some(amounts)
    });
    let mut generic = BTreeMap::new();
    let mut devices = None;
    let reservations = fields.get("reservations", |item| {
        let mut fields = item.fields()?;
        let amounts = read_amounts(&mut fields);
        generic = fields.or_default("generic_resources", read_generic);
        devices = fields.get("devices", gpus::read_reserved);
        fields.finish();
        Some(amounts)
    });
    fields.finish();
    let said = |amounts: Option<ResourceAmounts>| {
        amounts.filter(|amounts| *amounts != ResourceAmounts::default())
    };
    Some(Amounts {
        resources: Resources {
            limits: said(limits),
            reservations: said(reservations),
        },
        generic,
        gpus: devices,
    })
}

fn read_amounts(fields: &mut Fields<'_>) -> ResourceAmounts {
    ResourceAmounts {
        nano_cpus: fields.or_default("cpus", read_cpus),
        memory_bytes: fields.or_default("memory", read_bytes),
        pids: 0,
    }
}

fn read_cpus(item: &Item<'_>) -> Option<i64> {
    item.parsed(text::cpus)
}

pub(super) fn read_bytes(item: &Item<'_>) -> Option<i64> {
    item.parsed(text::bytes)
}

/// Minus one, as zero, is "without limit".
fn read_pids(item: &Item<'_>) -> Option<i64> {
    let pids = item.number(-1_i64, i64::from(i32::MAX))?;
    Some(pids.max(0))
}

fn read_generic(item: &Item<'_>) -> Option<BTreeMap<String, i64>> {
    let mut all = BTreeMap::new();
    for item in item.list()? {
        let Some(mut fields) = item.fields() else {
            continue;
        };
        let read = fields.get("discrete_resource_spec", |item| {
            let mut fields = item.fields()?;
            let kind = fields.get("kind", Item::word);
            let value = fields.get("value", |item| item.number(1_i64, i64::MAX));
            for name in ["kind", "value"] {
                if fields.item(name).is_none() {
                    fields.error_at(name, "this must be said of a resource");
                }
            }
            fields.finish();
            kind.zip(value)
        });
        if fields.item("discrete_resource_spec").is_none() {
            item.error("a resource is a `discrete_resource_spec` of a `kind` and a `value`");
        }
        fields.finish();
        all.extend(read);
    }
    Some(all)
}

/// The older keys, of the service itself. What `deploy.resources` says too must
/// be the same there.
pub(super) fn read_older(fields: &mut Fields<'_>, deploy: &mut Deploy) {
    let cpus = fields.or_default("cpus", read_cpus);
    let limit = fields.or_default("mem_limit", read_bytes);
    let reserved = fields.or_default("mem_reservation", read_bytes);
    let pids = fields.or_default("pids_limit", read_pids);
    let limits = &mut deploy.resources.limits;
    lay(fields, "cpus", "limits.cpus", cpus, limits, |it| {
        &mut it.nano_cpus
    });
    lay(fields, "mem_limit", "limits.memory", limit, limits, |it| {
        &mut it.memory_bytes
    });
    lay(fields, "pids_limit", "limits.pids", pids, limits, |it| {
        &mut it.pids
    });
    let reservations = &mut deploy.resources.reservations;
    lay(
        fields,
        "mem_reservation",
        "reservations.memory",
        reserved,
        reservations,
        |it| &mut it.memory_bytes,
    );
}

fn lay(
    fields: &Fields<'_>,
    key: &str,
    newer: &str,
    amount: i64,
    amounts: &mut Option<ResourceAmounts>,
    field: fn(&mut ResourceAmounts) -> &mut i64,
) {
    if amount == 0 {
        return;
    }
    let field = field(amounts.get_or_insert_default());
    if *field != 0 && *field != amount {
        let text = format!("deploy.resources.{newer} says another amount: say it once");
        fields.error_at(key, text);
    }
    *field = amount;
}
