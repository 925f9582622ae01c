//! `deploy`: how many tasks, where, and how they are replaced.

use super::super::item::{Fields, Item};
use super::super::model::Deploy;
use super::{duration, pairs, resources};
use crate::constraint::Constraint;
use crate::spec::{
    FailureAction, GpuRequest, Mode, Placement, RestartCondition, RestartPolicy, UpdateConfig,
    defaults,
};

/// What is more is no number of tasks.
pub(super) const MOST: u64 = u32::MAX as u64;

/// With the GPUs that it reserves.
pub(super) fn read_deploy(item: &Item<'_>) -> Option<(Deploy, Option<GpuRequest>)> {
    let mut fields = item.fields()?;
    let amounts = fields.get("resources", resources::read_resources);
    let mut deploy = Deploy {
        mode: read_mode(&mut fields),
        labels: fields.or_default("labels", pairs::texts),
        update: fields.get("update_config", |item| read_update(item, true)),
        rollback: fields.get("rollback_config", |item| read_update(item, false)),
        restart: fields.get("restart_policy", read_restart),
        placement: fields.or_default("placement", read_placement),
        endpoint_mode: fields.get("endpoint_mode", Item::value),
        ..Deploy::default()
    };
    fields.finish();
    let mut gpus = None;
    if let Some(amounts) = amounts {
        deploy.resources = amounts.resources;
        deploy.generic_resources = amounts.generic;
        gpus = amounts.gpus;
    }
    Some((deploy, gpus))
}

/// Docker's: a replicated job has as many tasks at once as it has in all.
fn read_mode(fields: &mut Fields<'_>) -> Mode {
    let replicas = fields.get("replicas", |item| item.number(0, MOST));
    let name = fields.get("mode", |item| {
        item.one_of(&[
            ("replicated", "replicated"),
            ("global", "global"),
            ("replicated-job", "replicated-job"),
            ("global-job", "global-job"),
        ])
    });
    let mode = match name {
        Some("global") => Mode::Global,
        Some("global-job") => Mode::GlobalJob,
        Some("replicated-job") => {
            let count = replicas.unwrap_or(defaults::REPLICAS);
            Mode::ReplicatedJob {
                max_concurrent: count,
                total_completions: count,
            }
        }
        _ => Mode::Replicated { replicas },
    };
    if replicas.is_some() && mode.is_per_node() {
        fields.error_at(
            "replicas",
            "a service of this mode has one task on each node",
        );
    }
    mode
}

fn read_update(item: &Item<'_>, can_roll_back: bool) -> Option<UpdateConfig> {
    let mut fields = item.fields()?;
    let parallelism = fields.get("parallelism", |item| item.number(0, MOST));
    let config = UpdateConfig {
        parallelism: parallelism.unwrap_or(defaults::UPDATE_PARALLELISM),
        delay: fields.get("delay", duration),
        failure_action: fields.get("failure_action", |item| match item.value()? {
            FailureAction::Rollback if !can_roll_back => {
                item.error("this is a rollback already: pause or continue");
                None
            }
            action => Some(action),
        }),
        monitor: fields.get("monitor", duration),
        max_failure_ratio: fields.or_default("max_failure_ratio", |item| item.number(0.0, 1.0)),
        order: fields.get("order", Item::value),
    };
    fields.finish();
    Some(config)
}

fn read_restart(item: &Item<'_>) -> Option<RestartPolicy> {
    let mut fields = item.fields()?;
    let policy = RestartPolicy {
        condition: fields.get("condition", Item::value),
        delay: fields.get("delay", duration),
        max_attempts: fields.get("max_attempts", |item| item.number(0, MOST)),
        window: fields.get("window", duration),
    };
    fields.finish();
    Some(policy)
}

/// `restart` of a service, which means nothing where `deploy` says it.
pub(super) fn read_older_restart(fields: &mut Fields<'_>, deploy: &mut Deploy) {
    let policy = fields.get("restart", |item| match item.str()? {
        "" => None,
        _ => item.parsed(older_restart),
    });
    let Some(policy) = policy else {
        return;
    };
    match deploy.restart {
        None => deploy.restart = Some(policy),
        Some(_) => fields.warn_at(
            "restart",
            "deploy.restart_policy says it: this means nothing",
        ),
    }
}

fn older_restart(text: &str) -> Result<RestartPolicy, String> {
    let policy = |condition, max_attempts| RestartPolicy {
        condition: Some(condition),
        max_attempts,
        ..RestartPolicy::default()
    };
    let (name, attempts) = match text.split_once(':') {
        Some((name, attempts)) => (name, Some(attempts)),
        None => (text, None),
    };
    match (name, attempts) {
        // What YAML 1.1 made of a `no` without quotes.
        ("no" | "false", None) => Ok(policy(RestartCondition::None, None)),
        ("always" | "unless-stopped", None) => Ok(policy(RestartCondition::Any, None)),
        ("on-failure", None) => Ok(policy(RestartCondition::OnFailure, None)),
        ("on-failure", Some(attempts)) => match attempts.parse() {
            Ok(attempts) => Ok(policy(RestartCondition::OnFailure, Some(attempts))),
            Err(_) => Err(format!("{attempts:?} is no number of attempts")),
        },
        _ => Err(format!(
            "{text:?} is none of no, always, unless-stopped, on-failure and on-failure:<attempts>"
        )),
    }
}

fn read_placement(item: &Item<'_>) -> Option<Placement> {
    let mut fields = item.fields()?;
    let placement = Placement {
        constraints: fields.or_default("constraints", |item| {
            item.list_of(|item| {
                item.parsed(|text| match Constraint::parse(text) {
                    Ok(_) => Ok(text.to_owned()),
                    Err(refusal) => Err(refusal.message),
                })
            })
        }),
        preferences: fields.or_default("preferences", |item| item.list_of(read_preference)),
        max_per_node: fields
            .get("max_replicas_per_node", |item| item.number(0, MOST))
            .filter(|most| *most > 0),
        platforms: Vec::new(),
    };
    fields.finish();
    Some(placement)
}

fn read_preference(item: &Item<'_>) -> Option<String> {
    let mut fields = item.fields()?;
    let spread = fields.get("spread", Item::word);
    if fields.item("spread").is_none() {
        item.error("a preference is `spread` and what to spread over, as node.labels.zone");
    }
    fields.finish();
    spread
}
