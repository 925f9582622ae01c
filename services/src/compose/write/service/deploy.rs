//! `deploy`.

use super::super::super::model::Deploy;
use super::super::Fields;
use super::super::text::Yaml;
use crate::spec::{
    EndpointMode, FailureAction, Mode, Placement, ResourceAmounts, RestartCondition, RestartPolicy,
    UpdateConfig, UpdateOrder,
};

pub(super) fn deploy(deploy: &Deploy) -> Yaml {
    let mut fields = Fields::default();
    let is_default = matches!(deploy.mode, Mode::Replicated { .. });
    fields.text("mode", Some(deploy.mode.as_str()).filter(|_| !is_default));
    fields.plain(
        "replicas",
        match deploy.mode {
            Mode::Replicated { replicas } => replicas,
            Mode::ReplicatedJob {
                total_completions, ..
            } => Some(total_completions),
            Mode::Global | Mode::GlobalJob => None,
        },
    );
    fields.pairs("labels", &deploy.labels);
    fields.nested("update_config", deploy.update.as_ref().map(update));
    fields.nested("rollback_config", deploy.rollback.as_ref().map(update));
    fields.nested("restart_policy", deploy.restart.as_ref().map(restart));
    fields.put("resources", resources(deploy));
    fields.put("placement", placement(&deploy.placement));
    fields.text(
        "endpoint_mode",
        deploy.endpoint_mode.map(EndpointMode::as_str),
    );
    fields.done()
}

fn update(update: &UpdateConfig) -> Yaml {
    let mut fields = Fields::default();
    fields.plain("parallelism", Some(update.parallelism));
    fields.duration("delay", update.delay);
    fields.text(
        "failure_action",
        update.failure_action.map(FailureAction::as_str),
    );
    fields.duration("monitor", update.monitor);
    let ratio = Some(update.max_failure_ratio).filter(|ratio| *ratio > 0.0);
    fields.plain("max_failure_ratio", ratio);
    fields.text("order", update.order.map(UpdateOrder::as_str));
    fields.done()
}

fn restart(restart: &RestartPolicy) -> Yaml {
    let mut fields = Fields::default();
    fields.text("condition", restart.condition.map(RestartCondition::as_str));
    fields.duration("delay", restart.delay);
    fields.plain("max_attempts", restart.max_attempts);
    fields.duration("window", restart.window);
    fields.done()
}

fn resources(deploy: &Deploy) -> Yaml {
    let mut fields = Fields::default();
    let amounts = |amounts: Option<&ResourceAmounts>| {
        let mut fields = Fields::default();
        if let Some(amounts) = amounts {
            fields.text(
                "cpus",
                Some(amounts.nano_cpus).filter(|it| *it != 0).map(cpus),
            );
            fields.amount("memory", amounts.memory_bytes);
            fields.amount("pids", amounts.pids);
        }
        fields
    };
    fields.put("limits", amounts(deploy.resources.limits.as_ref()).done());
    let mut reservations = amounts(deploy.resources.reservations.as_ref());
    let kinds = deploy.generic_resources.iter();
    let kinds = kinds.map(|(kind, count)| {
        let mut spec = Fields::default();
        spec.text("kind", Some(kind));
        spec.plain("value", Some(count));
        let mut entry = Fields::default();
        entry.put("discrete_resource_spec", spec.done());
        entry.done()
    });
    reservations.put("generic_resources", Yaml::List(kinds.collect()));
    fields.put("reservations", reservations.done());
    fields.done()
}

/// Billionths as a decimal number.
fn cpus(nano: i64) -> String {
    let text = format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn placement(placement: &Placement) -> Yaml {
    let mut fields = Fields::default();
    fields.texts("constraints", &placement.constraints);
    fields.list("preferences", &placement.preferences, |over| {
        let mut fields = Fields::default();
        fields.text("spread", Some(over));
        fields.done()
    });
    fields.plain("max_replicas_per_node", placement.max_per_node);
    fields.done()
}
