//! Specs to test with.

use std::collections::BTreeSet;

use crate::file::{FileKind, FileReference, FileSpec};
use crate::id::Id;
use crate::object::{CaDigest, Cluster, ClusterCa, JoinTokens, Meta, RootRotation, SiteSecret};
use crate::spec::{
    ClusterSpec, EndpointSpec, IpamConfig, Mode, NetworkAttachment, NetworkSpec, PortSpec,
    Protocol, PublishMode, ResourceAmounts, Resources, ServiceSpec,
};
use crate::time::Timestamp;

pub(crate) fn cluster() -> Cluster {
    Cluster {
        id: Id::from_u128(1 << 100),
        meta: Meta::default(),
        spec: ClusterSpec::default(),
        ca: ClusterCa {
            certificate: "certificate".to_owned(),
            key: "key".to_owned(),
        },
        join_tokens: JoinTokens {
            worker: "SWMTKN-1-w".to_owned(),
            manager: "SWMTKN-1-m".to_owned(),
        },
        site: Some(SiteSecret([7; 32])),
        unlock_key: None,
    }
}

/// To the CA with this digest.
pub(crate) fn rotation(digest: CaDigest) -> RootRotation {
    RootRotation {
        next: ClusterCa {
            certificate: "next certificate".to_owned(),
            key: "next key".to_owned(),
        },
        digest,
        cross_signed: "cross-signed".to_owned(),
        join_tokens: JoinTokens {
            worker: "SWMTKN-1-w2".to_owned(),
            manager: "SWMTKN-1-m2".to_owned(),
        },
        begun: Timestamp(300),
        renewed: BTreeSet::new(),
    }
}

pub(crate) fn web(replicas: u64) -> ServiceSpec {
    let mut spec = ServiceSpec {
        name: "web".to_owned(),
        mode: Mode::Replicated {
            replicas: Some(replicas),
        },
        ..ServiceSpec::default()
    };
    spec.task.container.image = "web:1".to_owned();
    spec
}

/// Replicas, or the completions of a job; a service with a task per node has
/// no number.
pub(crate) fn scale(spec: &mut ServiceSpec, count: u64) {
    match &mut spec.mode {
        Mode::Replicated { replicas } => *replicas = Some(count),
        Mode::ReplicatedJob {
            total_completions, ..
        } => *total_completions = count,
        Mode::Global | Mode::GlobalJob => {}
    }
}

pub(crate) fn global() -> ServiceSpec {
    ServiceSpec {
        mode: Mode::Global,
        ..web(1)
    }
}

/// Its tasks end well at once.
pub(crate) fn job(max_concurrent: u64, total_completions: u64) -> ServiceSpec {
    let mode = Mode::ReplicatedJob {
        max_concurrent,
        total_completions,
    };
    let mut spec = ServiceSpec { mode, ..web(1) };
    set_image(&mut spec, "once");
    spec
}

pub(crate) fn global_job() -> ServiceSpec {
    ServiceSpec {
        mode: Mode::GlobalJob,
        ..job(1, 1)
    }
}

pub(crate) fn set_image(spec: &mut ServiceSpec, image: &str) {
    spec.task.container.image = image.to_owned();
}

pub(crate) fn constrain(spec: &mut ServiceSpec, constraint: &str) {
    let placement = spec.task.placement.get_or_insert_default();
    placement.constraints = vec![constraint.to_owned()];
}

pub(crate) fn reserve_memory(spec: &mut ServiceSpec, memory_bytes: i64) {
    reserve(
        spec,
        ResourceAmounts {
            memory_bytes,
            ..ResourceAmounts::default()
        },
    );
}

pub(crate) fn reserve_cpus(spec: &mut ServiceSpec, nano_cpus: i64) {
    reserve(
        spec,
        ResourceAmounts {
            nano_cpus,
            ..ResourceAmounts::default()
        },
    );
}

fn reserve(spec: &mut ServiceSpec, amounts: ResourceAmounts) {
    spec.task.resources = Some(Resources {
        limits: None,
        reservations: Some(amounts),
    });
}

pub(crate) fn publish(spec: &mut ServiceSpec, port: u16) {
    spec.endpoint = Some(EndpointSpec {
        mode: None,
        ports: vec![PortSpec {
            name: None,
            protocol: Protocol::Tcp,
            target: 80,
            published: port,
            mode: PublishMode::Host,
            host_ip: None,
        }],
        ..EndpointSpec::default()
    });
}

pub(crate) fn network(name: &str) -> NetworkSpec {
    NetworkSpec {
        name: name.to_owned(),
        ..NetworkSpec::default()
    }
}

pub(crate) fn with_subnet(name: &str, net: &str) -> NetworkSpec {
    let mut spec = network(name);
    spec.ipam.configs.push(IpamConfig {
        subnet: Some(net.parse().unwrap()),
        ..IpamConfig::default()
    });
    spec
}

pub(crate) fn attach(spec: &mut ServiceSpec, target: Id) {
    spec.task.networks.push(NetworkAttachment {
        target,
        ..NetworkAttachment::default()
    });
}

/// Zero stands for any.
pub(crate) fn publish_ingress(spec: &mut ServiceSpec, ports: &[u16]) {
    let ports = ports.iter().zip(80..);
    let endpoint = spec.endpoint.get_or_insert_default();
    endpoint.ports = ports
        .map(|(&published, target)| PortSpec {
            name: None,
            protocol: Protocol::Tcp,
            target,
            published,
            mode: PublishMode::Ingress,
            host_ip: None,
        })
        .collect();
}

pub(crate) fn file(name: &str, data: &[u8]) -> FileSpec {
    let spec = FileSpec {
        name: name.to_owned(),
        ..FileSpec::default()
    };
    spec.with_data(data.to_vec().into())
}

/// Its tasks have it under its own name.
pub(crate) fn refer(spec: &mut ServiceSpec, kind: FileKind, id: Id, name: &str) {
    let container = &mut spec.task.container;
    let references = match kind {
        FileKind::Secret => &mut container.secrets,
        FileKind::Config => &mut container.configs,
    };
    references.push(FileReference {
        id,
        name: name.to_owned(),
        target: name.to_owned(),
        mode: 0o444,
        ..FileReference::default()
    });
}
