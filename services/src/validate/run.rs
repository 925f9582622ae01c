//! Run options and the addresses of tasks: what one container cannot have at
//! once, and what no second task of a service could have, too.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{invalid, resolved};
use crate::command::Refusal;
use crate::spec::{
    Mode, NetworkAttachment, OwnNetwork, RunOptions, ServiceSpec, UpdateConfig, UpdateOrder,
};

const MAX_DEVICES: usize = 64;
const MAX_SECURITY_OPTIONS: usize = 32;

pub(super) fn check_run(run: &RunOptions) -> Result<(), Refusal> {
    if run.devices.len() > MAX_DEVICES {
        return Err(invalid(format!(
            "ContainerSpec: a task cannot have more than {MAX_DEVICES} devices; name the folder \
             that they are in"
        )));
    }
    if run.security.len() > MAX_SECURITY_OPTIONS {
        return Err(invalid(format!(
            "ContainerSpec: a task cannot have more than {MAX_SECURITY_OPTIONS} security options"
        )));
    }
    let mut known = BTreeSet::new();
    for device in &run.devices {
        let target = &device.in_container;
        if !known.insert(resolved(target)) {
            return Err(invalid(format!(
                "ContainerSpec: duplicate device in the container: {target}"
            )));
        }
    }
    if run.shm_size.is_some_and(|size| size <= 0) {
        return Err(invalid("ContainerSpec: shm size must be greater than 0"));
    }
    Ok(())
}

/// What the engine of the node would refuse for each task, or leave out.
pub(super) fn check_own_network(spec: &ServiceSpec) -> Result<(), Refusal> {
    let Some(network) = spec.task.own_network else {
        return Ok(());
    };
    let name = network.as_str();
    if !spec.task.networks.is_empty() {
        return Err(invalid(format!(
            "TaskSpec: a task on its node's own network {name:?} is on no other network: take out \
             one or the other"
        )));
    }
    if network == OwnNetwork::None && !spec.ports().is_empty() {
        return Err(invalid(
            "EndpointSpec: a task on network \"none\" cannot be reached: take out its ports",
        ));
    }
    if spec.has_ingress_ports() {
        return Err(invalid(format!(
            "EndpointSpec: a task on its node's own network {name:?} is not on the ingress network: \
             publish its ports with mode=host"
        )));
    }
    Ok(())
}

/// An address is one task's at a time, also while an update goes on.
pub(super) fn check_fixed_addresses(spec: &ServiceSpec) -> Result<(), Refusal> {
    let fixed = |network: &&NetworkAttachment| !network.addresses.is_empty();
    let Some(network) = spec.task.networks.iter().find(fixed) else {
        return Ok(());
    };
    let alone = matches!(spec.mode, Mode::Replicated { replicas } if replicas.unwrap_or(1) <= 1);
    if !alone {
        return Err(invalid(format!(
            "TaskSpec: tasks cannot share the address {}: it is for a service with one replica",
            first(network)
        )));
    }
    let starts_first = |config: &Option<UpdateConfig>| {
        config.as_ref().and_then(|it| it.order) == Some(UpdateOrder::StartFirst)
    };
    if starts_first(&spec.update) || starts_first(&spec.rollback) {
        return Err(invalid(format!(
            "TaskSpec: with the order start-first two tasks would need the address {}; use \
             stop-first",
            first(network)
        )));
    }
    for network in &spec.task.networks {
        let of_family = |v4: bool| {
            let addrs = network.addresses.iter();
            addrs.filter(move |it| it.is_ipv4() == v4).count()
        };
        if of_family(true) > 1 || of_family(false) > 1 {
            return Err(invalid(format!(
                "TaskSpec: more than one address of a family on network {}",
                network.target
            )));
        }
        let vips = spec.static_vips(network.target);
        if let Some(both) = network.addresses.iter().find(|it| vips.contains(it)) {
            return Err(invalid(format!(
                "TaskSpec: {both} cannot be the address of the task and of the service"
            )));
        }
    }
    Ok(())
}

fn first(network: &NetworkAttachment) -> String {
    let first = network.addresses.first().map(IpAddr::to_string);
    first.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id;
    use crate::spec::{PortSpec, Protocol, PublishMode};
    use crate::testing::{attach, web};
    use crate::validate::validate_service;

    /// On one network, where its task has this address.
    fn with_address(edit: impl FnOnce(&mut ServiceSpec)) -> Result<(), Refusal> {
        let mut spec = web(1);
        attach(&mut spec, Id::from_u128(7));
        spec.task.networks[0].addresses = vec!["10.0.5.9".parse().unwrap()];
        edit(&mut spec);
        validate_service(&spec)
    }

    #[test]
    fn an_address_is_for_one_task_at_a_time() {
        assert_eq!(with_address(|_| ()), Ok(()));
        let start_first = || {
            let order = Some(UpdateOrder::StartFirst);
            Some(UpdateConfig {
                order,
                ..UpdateConfig::default()
            })
        };
        let why = "TaskSpec: tasks cannot share the address 10.0.5.9: it is for a service with one \
                   replica";
        for mode in [Mode::Replicated { replicas: Some(2) }, Mode::Global] {
            let refusal = with_address(|spec| spec.mode = mode).unwrap_err();
            assert_eq!(refusal.message, why);
        }
        let refusal = with_address(|spec| spec.update = start_first()).unwrap_err();
        assert_eq!(
            refusal.message,
            "TaskSpec: with the order start-first two tasks would need the address 10.0.5.9; use \
             stop-first"
        );
        let more = |spec: &mut ServiceSpec| {
            spec.task.networks[0]
                .addresses
                .push("10.0.5.8".parse().unwrap());
        };
        assert!(with_address(more).is_err());
    }

    #[test]
    fn a_task_on_its_nodes_own_network_is_on_no_other() {
        let on = |network, edit: &dyn Fn(&mut ServiceSpec)| {
            let mut spec = web(1);
            spec.task.own_network = Some(network);
            edit(&mut spec);
            validate_service(&spec).map_err(|refusal| refusal.message)
        };
        let publish = |mode| {
            move |spec: &mut ServiceSpec| {
                let ports = &mut spec.endpoint.get_or_insert_default().ports;
                ports.push(PortSpec {
                    name: None,
                    protocol: Protocol::Tcp,
                    target: 80,
                    published: 8080,
                    mode,
                    host_ip: None,
                });
            }
        };
        for network in [OwnNetwork::Host, OwnNetwork::Bridge] {
            assert_eq!(on(network, &|_| ()), Ok(()));
            assert_eq!(on(network, &publish(PublishMode::Host)), Ok(()));
            let refused = on(network, &publish(PublishMode::Ingress)).unwrap_err();
            assert!(
                refused.contains("publish its ports with mode=host"),
                "{refused}"
            );
            let refused = on(network, &|spec| attach(spec, Id::from_u128(7))).unwrap_err();
            assert!(refused.contains("is on no other network"), "{refused}");
        }
        assert_eq!(on(OwnNetwork::None, &|_| ()), Ok(()));
        let refused = on(OwnNetwork::None, &publish(PublishMode::Host)).unwrap_err();
        assert!(refused.contains("cannot be reached"), "{refused}");
    }

    #[test]
    fn a_container_has_a_device_once() {
        let mut spec = web(1);
        let run = &mut spec.task.container.run;
        run.devices = vec![
            "/dev/a:/dev/x".parse().unwrap(),
            "/dev/b:/dev/x".parse().unwrap(),
        ];
        assert_eq!(
            validate_service(&spec).unwrap_err().message,
            "ContainerSpec: duplicate device in the container: /dev/x"
        );
        let run = &mut spec.task.container.run;
        run.devices.pop();
        run.shm_size = Some(0);
        assert_eq!(
            validate_service(&spec).unwrap_err().message,
            "ContainerSpec: shm size must be greater than 0"
        );
    }
}
