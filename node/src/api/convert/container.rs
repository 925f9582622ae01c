//! The container of a task.

use services::spec::{self, MountKind};

use super::{duration, file, nanos, optional_duration, options, or_empty, refuse_missing, said};
use crate::api::dto::{
    BindOptions, ContainerSpec, DnsConfig, Driver, Extra, Healthcheck, Mount, TmpfsOptions, Ulimit,
    VolumeOptions,
};
use crate::api::error::ApiError;

const MISSING: &[(&str, &str)] = &[(
    "Privileges",
    "credential specs, SELinux, seccomp and AppArmor options are not in this version; set \
         them on the engines",
)];
const MISSING_BIND: &[(&str, &str)] = &[
    (
        "ReadOnlyNonRecursive",
        "bind-recursive=writable is not in this version; leave it out",
    ),
    (
        "ReadOnlyForceRecursive",
        "bind-recursive=readonly is not in this version; leave it out",
    ),
];
const MISSING_TMPFS: &[(&str, &str)] = &[(
    "Options",
    "options of tmpfs mounts other than size and mode are not in this version",
)];

/// Without what labels of its service say of it.
pub(super) fn container_spec(dto: ContainerSpec) -> Result<spec::ContainerSpec, ApiError> {
    refuse_missing(&dto.extra, MISSING)?;
    options::check_container_labels(&dto.labels)?;
    Ok(spec::ContainerSpec {
        image: dto.image,
        labels: dto.labels,
        command: dto.command,
        args: dto.args,
        hostname: said(dto.hostname),
        env: dto.env,
        workdir: said(dto.dir),
        user: said(dto.user),
        groups: dto.groups,
        tty: dto.tty,
        open_stdin: dto.open_stdin,
        read_only: dto.read_only,
        init: dto.init,
        mounts: dto
            .mounts
            .into_iter()
            .map(mount)
            .collect::<Result<_, _>>()?,
        stop_signal: said(dto.stop_signal),
        stop_grace: optional_duration("ContainerSpec: stop grace period", dto.stop_grace_period)?,
        healthcheck: dto.healthcheck.map(healthcheck).transpose()?,
        hosts: dto.hosts,
        dns: dto.dns_config.map(|dns| spec::DnsConfig {
            nameservers: dns.nameservers,
            search: dns.search,
            options: dns.options,
        }),
        sysctls: dto.sysctls,
        cap_add: dto.capability_add,
        cap_drop: dto.capability_drop,
        ulimits: dto.ulimits.into_iter().map(ulimit).collect(),
        oom_score_adj: dto.oom_score_adj,
        isolation: isolation(&dto.isolation)?,
        secrets: file::secret_references(dto.secrets)?,
        configs: file::config_references(dto.configs)?,
        run: spec::RunOptions::default(),
    })
}

/// Docker shows `default` where nothing was said, so both are the same.
fn isolation(text: &str) -> Result<Option<String>, ApiError> {
    match text {
        "" | "default" => Ok(None),
        other => Err(ApiError::bad_request(format!(
            "invalid isolation {other:?}: Linux has only \"default\""
        ))),
    }
}

pub(super) fn show_container_spec(spec: &spec::ContainerSpec) -> ContainerSpec {
    ContainerSpec {
        image: spec.image.clone(),
        labels: spec.labels.clone(),
        command: spec.command.clone(),
        args: spec.args.clone(),
        hostname: or_empty(spec.hostname.as_ref()),
        env: spec.env.clone(),
        dir: or_empty(spec.workdir.as_ref()),
        user: or_empty(spec.user.as_ref()),
        groups: spec.groups.clone(),
        init: spec.init,
        stop_signal: or_empty(spec.stop_signal.as_ref()),
        tty: spec.tty,
        open_stdin: spec.open_stdin,
        read_only: spec.read_only,
        mounts: spec.mounts.iter().map(show_mount).collect(),
        stop_grace_period: spec.stop_grace.map(nanos),
        healthcheck: spec.healthcheck.as_ref().map(show_healthcheck),
        hosts: spec.hosts.clone(),
        dns_config: spec.dns.as_ref().map(|dns| DnsConfig {
            nameservers: dns.nameservers.clone(),
            search: dns.search.clone(),
            options: dns.options.clone(),
        }),
        isolation: spec.isolation.clone().unwrap_or_else(|| "default".into()),
        sysctls: spec.sysctls.clone(),
        capability_add: spec.cap_add.clone(),
        capability_drop: spec.cap_drop.clone(),
        ulimits: spec.ulimits.iter().map(show_ulimit).collect(),
        oom_score_adj: spec.oom_score_adj,
        secrets: spec
            .secrets
            .iter()
            .map(file::show_secret_reference)
            .collect(),
        configs: spec
            .configs
            .iter()
            .map(file::show_config_reference)
            .collect(),
        extra: Extra::new(),
    }
}

fn mount(dto: Mount) -> Result<spec::Mount, ApiError> {
    let kind = match dto.kind.as_str() {
        "" => MountKind::Bind,
        "npipe" | "cluster" | "image" => {
            return Err(ApiError::unimplemented(format!(
                "mounts of type {} are not in this version; use bind, volume or tmpfs",
                dto.kind
            )));
        }
        word => word
            .parse()
            .map_err(|_| ApiError::bad_request(format!("invalid MountType: {word:?}")))?,
    };
    Ok(spec::Mount {
        kind,
        source: dto.source,
        target: dto.target,
        read_only: dto.read_only,
        consistency: said(dto.consistency),
        bind: dto.bind_options.map(bind_options).transpose()?,
        volume: dto.volume_options.map(|options| spec::VolumeOptions {
            no_copy: options.no_copy,
            subpath: said(options.subpath),
            labels: options.labels,
            driver: options.driver_config.map(driver),
        }),
        tmpfs: dto.tmpfs_options.map(tmpfs_options).transpose()?,
    })
}

fn bind_options(dto: BindOptions) -> Result<spec::BindOptions, ApiError> {
    refuse_missing(&dto.extra, MISSING_BIND)?;
    let known = [
        "", "private", "rprivate", "shared", "rshared", "slave", "rslave",
    ];
    if !known.contains(&dto.propagation.as_str()) {
        return Err(ApiError::bad_request(format!(
            "invalid MountPropagation: {:?}",
            dto.propagation
        )));
    }
    Ok(spec::BindOptions {
        propagation: said(dto.propagation),
        non_recursive: dto.non_recursive,
        create_mountpoint: dto.create_mountpoint,
    })
}

fn tmpfs_options(dto: TmpfsOptions) -> Result<spec::TmpfsOptions, ApiError> {
    refuse_missing(&dto.extra, MISSING_TMPFS)?;
    Ok(spec::TmpfsOptions {
        size_bytes: dto.size_bytes,
        mode: dto.mode,
    })
}

fn show_mount(mount: &spec::Mount) -> Mount {
    Mount {
        kind: mount.kind.as_str().into(),
        source: mount.source.clone(),
        target: mount.target.clone(),
        read_only: mount.read_only,
        consistency: or_empty(mount.consistency.as_ref()),
        bind_options: mount.bind.as_ref().map(|options| BindOptions {
            propagation: or_empty(options.propagation.as_ref()),
            non_recursive: options.non_recursive,
            create_mountpoint: options.create_mountpoint,
            extra: Extra::new(),
        }),
        volume_options: mount.volume.as_ref().map(|options| VolumeOptions {
            no_copy: options.no_copy,
            labels: options.labels.clone(),
            subpath: or_empty(options.subpath.as_ref()),
            driver_config: options.driver.as_ref().map(show_driver),
        }),
        tmpfs_options: mount.tmpfs.as_ref().map(|options| TmpfsOptions {
            size_bytes: options.size_bytes,
            mode: options.mode,
            extra: Extra::new(),
        }),
        extra: Extra::new(),
    }
}

pub(super) fn driver(dto: Driver) -> spec::Driver {
    spec::Driver {
        name: dto.name,
        options: dto.options,
    }
}

pub(super) fn show_driver(driver: &spec::Driver) -> Driver {
    Driver {
        name: driver.name.clone(),
        options: driver.options.clone(),
    }
}

fn healthcheck(dto: Healthcheck) -> Result<spec::Healthcheck, ApiError> {
    let time = |name: &str, nanos: Option<i64>| {
        let field = format!("ContainerSpec: {name} in HealthConfig");
        nanos.map(|nanos| duration(&field, nanos)).transpose()
    };
    let retries = dto.retries.map(|retries| {
        u32::try_from(retries).map_err(|_| {
            ApiError::invalid_argument(format!(
                "ContainerSpec: Retries in HealthConfig must be 0 to {}",
                u32::MAX
            ))
        })
    });
    Ok(spec::Healthcheck {
        test: dto.test,
        interval: time("Interval", dto.interval)?,
        timeout: time("Timeout", dto.timeout)?,
        start_period: time("StartPeriod", dto.start_period)?,
        start_interval: time("StartInterval", dto.start_interval)?,
        retries: retries.transpose()?,
    })
}

fn show_healthcheck(check: &spec::Healthcheck) -> Healthcheck {
    Healthcheck {
        test: check.test.clone(),
        interval: check.interval.map(nanos),
        timeout: check.timeout.map(nanos),
        start_period: check.start_period.map(nanos),
        start_interval: check.start_interval.map(nanos),
        retries: check.retries.map(i64::from),
    }
}

fn ulimit(dto: Ulimit) -> spec::Ulimit {
    spec::Ulimit {
        name: dto.name,
        soft: dto.soft,
        hard: dto.hard,
    }
}

fn show_ulimit(ulimit: &spec::Ulimit) -> Ulimit {
    Ulimit {
        name: ulimit.name.clone(),
        hard: ulimit.hard,
        soft: ulimit.soft,
    }
}
