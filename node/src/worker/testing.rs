//! What the worker's tests are made of.

use std::sync::Arc;

use services::assignment::AssignedNetwork;
use services::file::{FileContent, FileKind, FileReference};
use services::object::{Subnet, TaskState};
use services::spec::ServiceSpec;
use services::{Assignment, Id};

/// A network on which a task has these addresses, each in a subnet of its own
/// with a gateway that ends in 1, and a ticket.
pub(crate) fn network(id: Id, addrs: &[&str]) -> AssignedNetwork {
    let addrs: Vec<ipnet::IpNet> = addrs.iter().map(|addr| addr.parse().unwrap()).collect();
    let subnets = addrs.iter().map(|addr| Subnet {
        net: addr.trunc(),
        gateway: addr
            .hosts()
            .find(|host| host.to_string().ends_with("1"))
            .unwrap(),
        range: None,
    });
    AssignedNetwork {
        id,
        name: format!("net{}", id.as_u128()),
        subnets: subnets.collect(),
        internal: false,
        ingress: false,
        attachable: false,
        mtu: None,
        addrs,
        aliases: Vec::new(),
        driver_opts: Default::default(),
        ticket: b"signed".to_vec(),
    }
}

/// A task that is to run, of service 2.
pub(crate) fn assignment(task: Id, spec: ServiceSpec) -> Assignment {
    Assignment {
        task,
        service: Id::from_u128(2),
        slot: 1,
        spec: spec.into(),
        desired: TaskState::Running,
        networks: Vec::new(),
        generic: Default::default(),
        files: Default::default(),
    }
}

/// Gives the task a file of this content, owned by whoever runs the test.
pub(crate) fn give(assignment: &mut Assignment, kind: FileKind, target: &str, data: &[u8]) {
    let me = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    let id = Id::from_u128(1000 + assignment.references().count() as u128);
    let reference = FileReference {
        id,
        name: target.rsplit('/').next().unwrap_or_default().to_owned(),
        target: target.to_owned(),
        uid: me,
        gid: group,
        mode: 0o444,
    };
    let spec = Arc::make_mut(&mut assignment.spec);
    let container = &mut spec.task.container;
    match kind {
        FileKind::Secret => container.secrets.push(reference),
        FileKind::Config => container.configs.push(reference),
    }
    let content = FileContent {
        data: data.to_vec().into(),
        ..FileContent::default()
    };
    assignment.files.insert(id, Arc::new(content));
}
