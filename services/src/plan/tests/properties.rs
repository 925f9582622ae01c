//! What holds whatever happens: random services, nodes, faults and times.

mod changes;
mod checks;
mod events;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use changes::*;
use checks::*;
use events::*;
use ipnet::IpNet;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::codec::{read_snapshot, write_snapshot};
use crate::command::{Change, Command, Refusal};
use crate::constraint::Constraint;
use crate::directory::{Directory, Follower};
use crate::id::Id;
use crate::object::{Node, SlotId, Task, TaskState, TaskStatus};
use crate::observed::NodeHealth;
use crate::plan::dirt::constraints_of;
use crate::plan::slot::is_live;
use crate::spec::{
    Availability, FailureAction, Mode, NetworkSpec, Placement, PortSpec, PublishMode,
    RestartCondition, RestartPolicy, ServiceSpec, UpdateConfig, UpdateOrder,
};
use crate::state::State;
use crate::subnets::overlaps;
use crate::testing::{
    SECOND, World, attach, constrain, network, publish, publish_ingress, reserve_memory, scale,
    set_image, web, with_subnet,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever else a plan does that is agreed on after others.
    #[test]
    fn nothing_is_given_twice_even_by_late_plans(
        events in prop::collection::vec(event_with_late_plans(), 1..60),
    ) {
        let mut world = World::with_nodes(3);
        let mut events = events.into_iter().peekable();
        while let Some(event) = events.next() {
            let before = world.state.clone();
            happen(&mut world, event);
            check_forward(&before, &world.state);
            check_allocations(&world.state);
            // Then another decides first, and on the same state.
            if !matches!(events.peek(), Some(Event::Decide)) {
                world.plan();
                check_allocations(&world.state);
            }
        }
        let mut snapshot = Vec::new();
        write_snapshot(&world.state, &mut snapshot).unwrap();
        prop_assert_eq!(read_snapshot(snapshot.as_slice()).unwrap(), world.state);
    }

    /// `World::plan` plans twice and finds nothing the second time.
    #[test]
    fn whatever_happens_the_plan_is_whole_and_safe(events in prop::collection::vec(event(), 1..60)) {
        let mut world = World::with_nodes(3);
        let mut followed = Followed::default();
        for event in events {
            let before = world.state.clone();
            happen(&mut world, event);
            check_forward(&before, &world.state);
            followed.check(&world.state);
            let before = world.state.clone();
            world.plan();
            check_forward(&before, &world.state);
            check_slots(&world);
            check_nodes(&world);
            check_max_per_node(&world);
            check_per_node(&world);
            check_jobs(&world);
            check_done(&before, &world.state);
            check_allocations(&world.state);
            check_containers(&world);
            followed.check(&world.state);
        }
        let mut snapshot = Vec::new();
        write_snapshot(&world.state, &mut snapshot).unwrap();
        prop_assert_eq!(read_snapshot(snapshot.as_slice()).unwrap(), world.state);
    }

    #[test]
    fn once_the_nodes_behave_all_replicas_run(events in prop::collection::vec(event(), 1..40)) {
        let mut world = World::with_nodes(3);
        for event in events {
            happen(&mut world, event);
            world.plan();
        }
        let nodes: Vec<_> = world.state.nodes().cloned().collect();
        for node in nodes {
            let name = node.description.as_ref().unwrap().hostname.clone();
            world.edit_node(&name, |spec| spec.availability = Availability::Active);
            world.reconnect(node.id);
        }
        // What is wanted has to be possible, and what fails must be replaced.
        let room = world.add_node("room");
        let mut description = world.state.node(room).unwrap().description.clone().unwrap();
        description.resources.memory_bytes = 1024 * GIB;
        world.describe(room, description);
        let wide = world.create_network(with_subnet("wide", "10.128.0.0/16")).unwrap();
        let services: Vec<Id> = world.state.services().map(|service| service.id).collect();
        for &id in &services {
            world.update(id, |spec| {
                spec.task.networks.clear();
                attach(spec, wide);
                let image = if spec.mode.is_job() { "once" } else { "web:3" };
                set_image(spec, image);
                if spec.mode.is_per_node() {
                    spec.task.resources = None;
                }
                if let Mode::ReplicatedJob { max_concurrent, .. } = &mut spec.mode {
                    *max_concurrent += 1;
                }
                spec.endpoint = None;
                spec.task.restart = None;
                if let Some(placement) = &mut spec.task.placement {
                    placement.max_per_node = None;
                }
            });
        }
        world.run_for(SECOND * 900);
        for id in services {
            let spec = Arc::clone(&world.service(id).spec);
            let found: Vec<SlotId> = match spec.mode.is_job() {
                true => world.done(id),
                false => world.running(id).iter().map(|task| task.slot).collect(),
            };
            let slots: BTreeSet<SlotId> = found.iter().copied().collect();
            prop_assert_eq!(slots.len(), found.len());
            let nodes = world.state.nodes().filter(|node| suits(&spec, node)).count();
            let wanted = spec.mode.slots().unwrap_or(nodes as u64);
            prop_assert_eq!(found.len() as u64, wanted, "{:?}", spec.mode);
            prop_assert!(world.images(id).iter().all(|image| image == "web:3"));
        }
        prop_assert_eq!(world.next, None);
    }

    /// Also from states that no plan would have made.
    #[test]
    fn any_changes_leave_a_state_that_can_be_planned(
        services in prop::collection::vec(service(), 1..3),
        changes in prop::collection::vec(change(), 1..60),
        pass in 0..100_000_u64,
    ) {
        let mut world = World::with_nodes(2);
        for mut spec in services {
            spec.name = format!("service-{}", world.next_id());
            allow_taken(world.try_create(spec).map(|_| ()));
        }
        for change in changes {
            let before = world.state.clone();
            let change = make_change(&mut world, &change);
            world.command(Command::Plan { changes: vec![change] }).unwrap();
            check_forward(&before, &world.state);
        }
        world.now = world.now + Duration::from_millis(pass);
        world.plan();
        world.run_for(SECOND * 120);
    }
}
