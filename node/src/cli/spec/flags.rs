//! The flags that `create` and `update` share, laid over a spec.

use super::container;
use crate::api::dto::{ContainerSpec, Driver, RestartPolicy, ServiceSpec, UpdateConfig};
use crate::cli::args::{
    ContainerFlags, HealthFlags, ResourceFlags, RestartFlags, RollbackFlags, ServiceFlags,
    UpdateFlags,
};
use crate::cli::values::{Invalid, Nanos};

const RESTART_DELAY: Nanos = Nanos::from_secs(5);
const MONITOR: Nanos = Nanos::from_secs(5);

pub fn apply(flags: &ServiceFlags, spec: &mut ServiceSpec) -> Result<(), Invalid> {
    if let Some(max) = flags.replicas_max_per_node {
        spec.task_template
            .placement
            .get_or_insert_default()
            .max_replicas = max;
    }
    if let Some(mode) = &flags.endpoint_mode {
        spec.endpoint_spec
            .get_or_insert_default()
            .mode
            .clone_from(mode);
    }
    let in_container = container(spec);
    set_container(&flags.container, in_container);
    set_capabilities(
        &flags.container.cap_add,
        &flags.container.cap_drop,
        in_container,
    );
    set_healthcheck(&flags.health, in_container)?;
    if let Some(name) = &flags.container.log_driver {
        spec.task_template.log_driver = Some(Driver {
            name: name.clone(),
            options: super::labels(&flags.container.log_opt),
        });
    }
    super::options::set(&flags.run, &mut spec.labels);
    set_resources(&flags.resources, spec);
    set_restart(&flags.restart, spec);
    set_pace(&Pace::of_update(&flags.update), &mut spec.update_config);
    set_pace(&Pace::of_rollback(&flags.undo), &mut spec.rollback_config);
    Ok(())
}

/// Overwrites `field` where a flag says something.
fn put<T: Clone>(field: &mut T, said: &Option<T>) {
    if let Some(value) = said {
        field.clone_from(value);
    }
}

fn put_nanos(field: &mut Option<i64>, said: Option<Nanos>) {
    if let Some(Nanos(nanos)) = said {
        *field = Some(nanos);
    }
}

fn set_container(flags: &ContainerFlags, container: &mut ContainerSpec) {
    if let Some(words) = &flags.entrypoint {
        container.command.clone_from(&words.0);
    }
    put(&mut container.dir, &flags.workdir);
    put(&mut container.user, &flags.user);
    put(&mut container.hostname, &flags.hostname);
    put(&mut container.stop_signal, &flags.stop_signal);
    put(&mut container.tty, &flags.tty);
    put(&mut container.read_only, &flags.read_only);
    if flags.init.is_some() {
        container.init = flags.init;
    }
    if flags.oom_score_adj.is_some() {
        container.oom_score_adj = flags.oom_score_adj;
    }
    put_nanos(&mut container.stop_grace_period, flags.stop_grace_period);
}

/// The capabilities that a container has more and less than usual, where people
/// say these.
pub fn capabilities(add: &[String], drop: &[String]) -> (Vec<String>, Vec<String>) {
    let mut container = ContainerSpec::default();
    set_capabilities(add, drop, &mut container);
    (container.capability_add, container.capability_drop)
}

/// A capability that is both added and dropped is added; `RESET` empties the
/// list that it stands in.
fn set_capabilities(add: &[String], drop: &[String], container: &mut ContainerSpec) {
    let mut added = named(add);
    let mut dropped = named(drop);
    for (named, list) in [
        (&mut added, &mut container.capability_add),
        (&mut dropped, &mut container.capability_drop),
    ] {
        if named.iter().any(|cap| cap == "RESET") {
            list.clear();
            named.retain(|cap| cap != "RESET");
        }
    }
    dropped.retain(|cap| !added.contains(cap));
    container
        .capability_add
        .retain(|cap| !dropped.contains(cap));
    container.capability_drop.retain(|cap| !added.contains(cap));
    for (named, list) in [
        (added, &mut container.capability_add),
        (dropped, &mut container.capability_drop),
    ] {
        if !named.is_empty() {
            list.extend(named);
            list.sort();
            list.dedup();
        }
    }
}

/// `net_admin` and `CAP_NET_ADMIN` are one.
fn named(capabilities: &[String]) -> Vec<String> {
    capabilities
        .iter()
        .map(|cap| cap.trim().to_ascii_uppercase())
        .map(|cap| match cap.as_str() {
            "ALL" | "RESET" => cap,
            _ if cap.starts_with("CAP_") => cap,
            _ => format!("CAP_{cap}"),
        })
        .collect()
}

fn set_healthcheck(flags: &HealthFlags, container: &mut ContainerSpec) -> Result<(), Invalid> {
    let alone = HealthFlags {
        no_healthcheck: flags.no_healthcheck,
        ..HealthFlags::default()
    };
    if flags.no_healthcheck {
        if *flags != alone {
            return Err(Invalid::new(
                "--no-healthcheck conflicts with --health-* options",
            ));
        }
        let check = container.healthcheck.insert(Default::default());
        check.test = vec!["NONE".into()];
        return Ok(());
    }
    if *flags == alone {
        return Ok(());
    }
    let check = container.healthcheck.get_or_insert_default();
    if check.test.first().is_some_and(|first| first == "NONE") {
        check.test.clear();
    }
    match flags.health_cmd.as_deref() {
        None => {}
        Some("") => check.test.clear(),
        Some(command) => check.test = vec!["CMD-SHELL".into(), command.into()],
    }
    put_nanos(&mut check.interval, flags.health_interval);
    put_nanos(&mut check.timeout, flags.health_timeout);
    put_nanos(&mut check.start_period, flags.health_start_period);
    put_nanos(&mut check.start_interval, flags.health_start_interval);
    if flags.health_retries.is_some() {
        check.retries = flags.health_retries;
    }
    Ok(())
}

fn set_resources(flags: &ResourceFlags, spec: &mut ServiceSpec) {
    let task = &mut spec.task_template;
    if flags.limit_cpu.is_some() || flags.limit_memory.is_some() || flags.limit_pids.is_some() {
        let resources = task.resources.get_or_insert_default();
        let limits = resources.limits.get_or_insert_default();
        put(&mut limits.nano_cpus, &flags.limit_cpu);
        put(&mut limits.memory_bytes, &flags.limit_memory);
        put(&mut limits.pids, &flags.limit_pids);
    }
    if flags.reserve_cpu.is_some() || flags.reserve_memory.is_some() {
        let resources = task.resources.get_or_insert_default();
        let reserved = resources.reservations.get_or_insert_default();
        put(&mut reserved.nano_cpus, &flags.reserve_cpu);
        put(&mut reserved.memory_bytes, &flags.reserve_memory);
    }
}

fn set_restart(flags: &RestartFlags, spec: &mut ServiceSpec) {
    if *flags == RestartFlags::default() {
        return;
    }
    let policy = spec
        .task_template
        .restart_policy
        .get_or_insert_with(|| RestartPolicy {
            condition: "any".into(),
            delay: Some(RESTART_DELAY.0),
            max_attempts: Some(0),
            window: None,
        });
    put(&mut policy.condition, &flags.restart_condition);
    put_nanos(&mut policy.delay, flags.restart_delay);
    put_nanos(&mut policy.window, flags.restart_window);
    if flags.restart_max_attempts.is_some() {
        policy.max_attempts = flags.restart_max_attempts;
    }
}

/// What the flags say about the pace of an update or of a rollback.
#[derive(Default, PartialEq)]
struct Pace {
    parallelism: Option<u64>,
    delay: Option<Nanos>,
    failure_action: Option<String>,
    monitor: Option<Nanos>,
    max_failure_ratio: Option<f64>,
    order: Option<String>,
}

impl Pace {
    fn of_update(flags: &UpdateFlags) -> Self {
        Self {
            parallelism: flags.update_parallelism,
            delay: flags.update_delay,
            failure_action: flags.update_failure_action.clone(),
            monitor: flags.update_monitor,
            max_failure_ratio: flags.update_max_failure_ratio,
            order: flags.update_order.clone(),
        }
    }

    fn of_rollback(flags: &RollbackFlags) -> Self {
        Self {
            parallelism: flags.rollback_parallelism,
            delay: flags.rollback_delay,
            failure_action: flags.rollback_failure_action.clone(),
            monitor: flags.rollback_monitor,
            max_failure_ratio: flags.rollback_max_failure_ratio,
            order: flags.rollback_order.clone(),
        }
    }
}

fn set_pace(said: &Pace, config: &mut Option<UpdateConfig>) {
    if *said == Pace::default() {
        return;
    }
    let config = config.get_or_insert_with(|| UpdateConfig {
        parallelism: 1,
        delay: None,
        failure_action: "pause".into(),
        monitor: Some(MONITOR.0),
        max_failure_ratio: 0.0,
        order: "stop-first".into(),
    });
    put(&mut config.parallelism, &said.parallelism);
    put(&mut config.failure_action, &said.failure_action);
    put(&mut config.max_failure_ratio, &said.max_failure_ratio);
    put(&mut config.order, &said.order);
    put_nanos(&mut config.delay, said.delay);
    put_nanos(&mut config.monitor, said.monitor);
}
