//! Keys that a swarm does nothing with. Where nobody misses what a key asks
//! for, or Docker's swarm has always left it out of files that work, it is a
//! warning; where a service would not be what its file says, it is an error.

use super::super::item::Fields;

const IGNORED: [(&str, &str); 15] = [
    ("annotations", "use `labels`"),
    ("attach", "it is for `docker compose up`"),
    ("cgroup", "the engine's own setting holds"),
    ("cgroupns_mode", "the engine's own setting holds"),
    ("cgroup_parent", "the engine's own setting holds"),
    (
        "container_name",
        "containers are named after their tasks; services are reached by the names of services and `networks` aliases",
    ),
    ("develop", "it is for `docker compose watch`"),
    ("domainname", "put the whole name into `hostname`"),
    (
        "expose",
        "services on one network reach every port of each other",
    ),
    ("external_links", "put both services on one network"),
    (
        "links",
        "services on one network reach each other by their names; for another name use `aliases` of the network",
    ),
    (
        "mac_address",
        "addresses of the link layer are given by the network",
    ),
    ("pull_policy", "an image is pulled where its node lacks it"),
    (
        "pull_refresh_after",
        "an image is pulled where its node lacks it",
    ),
    ("userns_mode", "the engine's own setting holds"),
];

const REFUSED: [(&str, &str); 29] = [
    ("blkio_config", "limit the disk on the node"),
    ("cpu_count", LIMITS),
    ("cpu_percent", LIMITS),
    ("cpu_period", LIMITS),
    ("cpu_quota", LIMITS),
    ("cpu_rt_period", LIMITS),
    ("cpu_rt_runtime", LIMITS),
    (
        "cpu_shares",
        "reserve what it needs by deploy.resources.reservations.cpus",
    ),
    ("cpuset", LIMITS),
    (
        "credential_spec",
        "it is for Windows, on which swarmlet does not run",
    ),
    ("device_cgroup_rules", "name the devices by `devices`"),
    ("log_driver", "use `logging` with a `driver`"),
    ("log_opt", "use `logging` with `options`"),
    ("mem_swappiness", "set it on the node"),
    (
        "memswap_limit",
        "limit the memory by deploy.resources.limits.memory",
    ),
    (
        "models",
        "run the model as a service, or outside of the swarm",
    ),
    ("net", "use `networks` or `network_mode`"),
    (
        "oom_kill_disable",
        "reserve and limit its memory by deploy.resources, and see `oom_score_adj`",
    ),
    (
        "post_start",
        "let the container do it, or a service with `deploy.mode: replicated-job`",
    ),
    (
        "pre_stop",
        "let the container do it when it gets its `stop_signal`",
    ),
    (
        "pre_start",
        "let the container do it, or a service with `deploy.mode: replicated-job`",
    ),
    ("provider", "run it as a service, or outside of the swarm"),
    ("runtime", "set the default runtime of the node's engine"),
    ("storage_opt", "set it in the node's engine"),
    ("use_api_socket", "mount /var/run/docker.sock by `volumes`"),
    ("uts", "use `hostname`"),
    (
        "volume_driver",
        "name a volume under the top-level `volumes`, with its `driver`",
    ),
    (
        "volumes_from",
        "name a volume under the top-level `volumes`, and mount it in both services",
    ),
    ("replicas", "use `deploy.replicas`"),
];

const LIMITS: &str = "limit it by deploy.resources.limits.cpus";
const NO_BUILD: &str = "a swarm builds nothing: build the image, push it to a registry that every \
                        node reaches, and name it by `image`";

/// Looks at all of them, and at `build`.
pub(super) fn check(fields: &mut Fields<'_>, has_image: bool) {
    for (name, instead) in IGNORED {
        if fields.item(name).is_some() {
            fields.warn_at(name, format!("this is ignored: {instead}"));
        }
    }
    for (name, instead) in REFUSED {
        if fields.item(name).is_some() {
            fields.error_at(name, format!("this is not possible in a swarm: {instead}"));
        }
    }
    match (fields.item("build"), has_image) {
        (None, true) => {}
        (Some(_), true) => fields.warn_at("build", format!("this is ignored: {NO_BUILD}")),
        (Some(_), false) => fields.error_at("build", NO_BUILD),
        (None, false) => fields.item.error("`image` must say what it runs"),
    }
}
