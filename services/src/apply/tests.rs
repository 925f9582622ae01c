use std::sync::Arc;

use crate::command::{Answer, Change, Command, Refusal, RefusalKind};
use crate::id::Id;
use crate::object::{Node, TaskState, TaskStatus, UnlockKey, UpdateState};
use crate::spec::{Availability, Mode, NodeSpec, Role, ServiceSpec};
use crate::testing::{World, cluster, global, job, scale, set_image, web};

/// The command is refused so and changes nothing.
fn check_refused(world: &mut World, command: Command, kind: RefusalKind, message: &str) {
    let before = world.state.clone();
    assert_eq!(world.command(command), Err(kind.because(message)));
    assert_eq!(world.state, before);
}

fn update(world: &World, service: Id, edit: impl FnOnce(&mut crate::spec::ServiceSpec)) -> Command {
    let known = world.service(service);
    let mut spec = crate::spec::ServiceSpec::clone(&known.spec);
    edit(&mut spec);
    Command::UpdateService {
        id: service,
        version: known.meta.version,
        spec: Arc::new(spec),
    }
}

fn update_node(node: &Node, edit: impl FnOnce(&mut NodeSpec)) -> Command {
    let mut spec = node.spec.clone();
    edit(&mut spec);
    Command::UpdateNode {
        id: node.id,
        version: node.meta.version,
        spec,
    }
}

#[test]
fn a_swarm_is_made_once() {
    let mut world = World::new();
    let cluster = Box::new(cluster());
    check_refused(
        &mut world,
        Command::CreateCluster { cluster },
        RefusalKind::AlreadyExists,
        "the swarm exists already",
    );
}

#[test]
fn a_rotated_token_replaces_one_of_the_two() {
    let mut world = World::new();
    let token = "SWMTKN-1-new".to_owned();
    let role = Role::Worker;
    world
        .command(Command::RotateJoinToken { role, token })
        .unwrap();
    let tokens = &world.state.cluster().unwrap().join_tokens;
    assert_eq!(tokens.worker, "SWMTKN-1-new");
    assert_eq!(tokens.manager, "SWMTKN-1-m");
}

#[test]
fn an_unlock_key_is_set_rotated_and_dropped() {
    let mut world = World::new();
    for key in [Some([1; 32]), Some([2; 32]), None] {
        let key = key.map(UnlockKey);
        let before = world.state.cluster().unwrap().meta.version;
        let command = Command::SetUnlockKey { key: key.clone() };
        world.command(command).unwrap();
        let cluster = world.state.cluster().unwrap();
        assert_eq!(cluster.unlock_key, key);
        assert!(cluster.meta.version > before);
    }
    let key = UnlockKey([0x5a; 32]);
    assert_eq!(format!("{key:?}"), "UnlockKey { .. }");
}

#[test]
fn every_write_raises_the_version() {
    let mut world = World::with_nodes(1);
    let web = world.create(web(1));
    let created = world.service(web).meta;
    let answer = world.command(update(&world, web, |spec| scale(spec, 2)));
    let updated = world.service(web).meta;
    assert_eq!(answer, Ok(Answer::Version(updated.version)));
    assert!(updated.version > created.version);
    assert_eq!(world.service(web).spec_version, updated.version);
}

#[test]
fn a_stale_version_is_refused() {
    let mut world = World::with_nodes(1);
    let web = world.create(web(1));
    let text = "update out of sequence";
    let stale = update(&world, web, |spec| scale(spec, 2));
    world.command(stale.clone()).unwrap();
    check_refused(&mut world, stale, RefusalKind::Unknown, text);
    let id = world.node("h1");
    let spec = world.state.node(id).unwrap().spec.clone();
    let version = 1;
    check_refused(
        &mut world,
        Command::UpdateNode { id, version, spec },
        RefusalKind::Unknown,
        text,
    );
    let id = web;
    world
        .command(update(&world, web, |spec| scale(spec, 3)))
        .unwrap();
    check_refused(
        &mut world,
        Command::RollbackService { id, version },
        RefusalKind::Unknown,
        text,
    );
}

#[test]
fn a_name_is_taken_once_whatever_its_case() {
    let mut world = World::new();
    world.create(web(1));
    let mut spec = web(2);
    spec.name = "WEB".to_owned();
    let (id, spec) = (world.next_id(), Arc::new(spec));
    check_refused(
        &mut world,
        Command::CreateService { id, spec },
        RefusalKind::AlreadyExists,
        "name conflicts with an existing object: service WEB already exists",
    );
}

#[test]
fn a_removed_name_is_free_again() {
    let mut world = World::new();
    let id = world.create(web(1));
    world.command(Command::RemoveService { id }).unwrap();
    world.create(web(1));
}

#[test]
fn a_service_keeps_its_mode() {
    let text = "service mode change is not allowed";
    let kind = RefusalKind::Unimplemented;
    let mut world = World::new();
    let web = world.create(web(1));
    for other in [Mode::Global, Mode::GlobalJob] {
        let change = update(&world, web, |spec| spec.mode = other);
        check_refused(&mut world, change, kind, text);
    }
    let job = ServiceSpec {
        name: "job".to_owned(),
        ..job(1, 1)
    };
    let job = world.create(job);
    let change = update(&world, job, |spec| spec.mode = Mode::default());
    check_refused(&mut world, change, kind, text);
}

#[test]
fn a_task_is_made_for_the_slots_that_its_service_has() {
    let mut world = World::with_nodes(1);
    let global = ServiceSpec {
        name: "agent".to_owned(),
        ..global()
    };
    let (web, global) = (world.create(web(1)), world.create(global));
    let node = world.node("h1");
    for (service, per_node) in [(web, true), (global, false)] {
        let id = world.next_id();
        let spec_version = world.service(service).spec_version;
        let (desired, not_before, failures) = (TaskState::Running, world.now, 0);
        let change = match per_node {
            true => Change::CreateTaskOnNode {
                id,
                service,
                spec_version,
                node,
                desired,
                not_before,
                failures,
            },
            false => Change::CreateTask {
                id,
                service,
                spec_version,
                slot: 1,
                desired,
                not_before,
                failures,
            },
        };
        let changes = vec![change];
        world.command(Command::Plan { changes }).unwrap();
    }
    assert_eq!(world.state.tasks().len(), 0);
}

#[test]
fn a_task_with_a_node_is_placed_nowhere_else() {
    let mut world = World::with_nodes(1);
    world.settle();
    let service = world.create(global());
    let changes = world.decide().changes;
    let made: Vec<Change> = changes
        .into_iter()
        .filter(|change| !matches!(change, Change::AssignTask { .. }))
        .collect();
    world.command(Command::Plan { changes: made }).unwrap();
    let other = world.add_node("h2");
    let id = world.tasks(service)[0].id;
    let changes = vec![Change::AssignTask { id, node: other }];
    world.command(Command::Plan { changes }).unwrap();
    assert_eq!(world.tasks(service)[0].node, None);
}

#[test]
fn a_service_keeps_its_name() {
    let mut world = World::new();
    let web = world.create(web(1));
    let rename = update(&world, web, |spec| spec.name = "shop".to_owned());
    let text = "renaming services is not supported";
    check_refused(&mut world, rename, RefusalKind::Unimplemented, text);
}

#[test]
fn there_is_nothing_to_roll_back_to_at_first() {
    let mut world = World::new();
    let id = world.create(web(1));
    let version = world.service(id).meta.version;
    check_refused(
        &mut world,
        Command::RollbackService { id, version },
        RefusalKind::FailedPrecondition,
        &format!("service {id} does not have a previous spec"),
    );
}

#[test]
fn what_is_not_there_is_not_found() {
    let mut world = World::new();
    let id = Id::from_u128(99);
    let commands = [
        (
            Command::RemoveService { id },
            format!("service {id} not found"),
        ),
        (
            Command::RollbackService { id, version: 1 },
            format!("service {id} not found"),
        ),
        (Command::RemoveNode { id }, format!("node {id} not found")),
    ];
    for (command, text) in commands {
        check_refused(&mut world, command, RefusalKind::NotFound, &text);
    }
}

#[test]
fn only_a_change_of_tasks_begins_an_update() {
    let mut world = World::new();
    let web = world.create(web(1));
    world
        .command(update(&world, web, |spec| set_image(spec, "web:2")))
        .unwrap();
    let status = world.service(web).update.clone().unwrap();
    assert_eq!(status.state, UpdateState::Updating);
    assert_eq!(status.started, world.now);
    world
        .command(update(&world, web, |spec| scale(spec, 2)))
        .unwrap();
    assert_eq!(world.service(web).update, None, "as Docker clears it");
}

#[test]
fn the_last_manager_is_not_demoted() {
    let mut world = World::with_nodes(2);
    for host in ["h1", "h2"] {
        world.edit_node(host, |spec| spec.role = Role::Manager);
    }
    world.edit_node("h1", |spec| spec.role = Role::Worker);
    let last = world.state.find_node("h2").unwrap().clone();
    check_refused(
        &mut world,
        update_node(&last, |spec| spec.role = Role::Worker),
        RefusalKind::FailedPrecondition,
        "attempting to demote the last manager of the swarm",
    );
    world.edit_node("h2", |spec| spec.availability = Availability::Drain);
}

#[test]
fn a_manager_is_demoted_before_it_is_removed() {
    let mut world = World::with_nodes(1);
    world.edit_node("h1", |spec| spec.role = Role::Manager);
    let id = world.node("h1");
    check_refused(
        &mut world,
        Command::RemoveNode { id },
        RefusalKind::FailedPrecondition,
        &format!(
            "node {id} is a cluster manager and is a member of the raft cluster. \
             It must be demoted to worker before removal"
        ),
    );
}

#[test]
fn a_removed_node_stays_out() {
    let mut world = World::with_nodes(1);
    let node = world.state.find_node("h1").unwrap().clone();
    let id = node.id;
    world.command(Command::RemoveNode { id }).unwrap();
    assert!(world.state.is_removed(id));
    let (spec, addr) = (node.spec.clone(), node.addr);
    check_refused(
        &mut world,
        Command::AddNode { id, spec, addr },
        RefusalKind::FailedPrecondition,
        &format!("node {id} was removed from the swarm"),
    );
}

#[test]
fn a_node_that_joins_again_keeps_its_role() {
    let mut world = World::with_nodes(1);
    world.edit_node("h1", |spec| spec.role = Role::Manager);
    let id = world.node("h1");
    let spec = NodeSpec {
        role: Role::Worker,
        ..world.state.node(id).unwrap().spec.clone()
    };
    let addr = "10.9.9.9:2377".parse().unwrap();
    world.command(Command::AddNode { id, spec, addr }).unwrap();
    let node = world.state.node(id).unwrap();
    assert_eq!((node.spec.role, node.addr), (Role::Manager, addr));
}

/// One running task and its world.
fn one_task() -> (World, Id) {
    let mut world = World::with_nodes(1);
    let web = world.create(web(1));
    world.settle();
    let task = world.running(web)[0].id;
    (world, task)
}

fn check_skipped(world: &mut World, change: Change) {
    let before = world.state.clone();
    world
        .command(Command::Plan {
            changes: vec![change],
        })
        .unwrap();
    assert_eq!(world.state, before);
}

#[test]
fn a_state_never_moves_back() {
    let (mut world, id) = one_task();
    let status = |state| TaskStatus::at(state, world.now, "test");
    let (failed, running, pending) = (
        status(TaskState::Failed),
        status(TaskState::Running),
        status(TaskState::Pending),
    );
    check_skipped(
        &mut world,
        Change::SetStatus {
            id,
            status: pending,
        },
    );
    let changes = vec![Change::SetStatus {
        id,
        status: failed.clone(),
    }];
    world.command(Command::Plan { changes }).unwrap();
    assert_eq!(world.state.task(id).unwrap().status, failed);
    check_skipped(
        &mut world,
        Change::SetStatus {
            id,
            status: running,
        },
    );
    let orphaned = TaskStatus::orphaned(world.now, "late");
    check_skipped(
        &mut world,
        Change::SetStatus {
            id,
            status: orphaned,
        },
    );
}

#[test]
fn a_wish_never_moves_back() {
    let (mut world, id) = one_task();
    let set = |desired| Change::SetDesired { id, desired };
    world
        .command(Command::Plan {
            changes: vec![set(TaskState::Shutdown)],
        })
        .unwrap();
    check_skipped(&mut world, set(TaskState::Running));
    check_skipped(&mut world, set(TaskState::Orphaned));
}

#[test]
fn a_task_of_an_older_spec_is_not_made() {
    let mut world = World::with_nodes(1);
    let service = world.create(web(1));
    let spec_version = world.service(service).spec_version;
    world.update(service, |spec| scale(spec, 2));
    let id = world.next_id();
    let create = Change::CreateTask {
        id,
        service,
        spec_version,
        slot: 1,
        desired: TaskState::Running,
        not_before: world.now,
        failures: 0,
    };
    check_skipped(&mut world, create);
}

#[test]
fn a_task_is_not_assigned_twice_nor_to_a_node_that_is_gone() {
    let (mut world, id) = one_task();
    let node = world.add_node("h2");
    check_skipped(&mut world, Change::AssignTask { id, node });
    let web = world.state.task(id).unwrap().service;
    world.update(web, |spec| {
        crate::testing::constrain(spec, "node.hostname==h9")
    });
    world.run_for(crate::testing::SECOND);
    let waiting = world.live(web)[0].id;
    let node = Id::from_u128(12345);
    check_skipped(&mut world, Change::AssignTask { id: waiting, node });
}

fn lookup<T>(found: Result<&Arc<T>, Refusal>) -> Result<(), (RefusalKind, String)> {
    found
        .map(|_| ())
        .map_err(|refusal| (refusal.kind, refusal.message))
}

#[test]
fn objects_are_found_by_id_name_and_prefix() {
    let mut world = World::with_nodes(2);
    let web = world.create(web(1));
    world.settle();
    let task = world.running(web)[0].clone();
    for text in [web.to_string(), "web".to_owned(), "Web".to_owned()] {
        assert_eq!(world.state.find_service(&text).unwrap().id, web);
    }
    // Ids here are small numbers: only the last digit tells them apart.
    assert_eq!(
        lookup(world.state.find_node("00000")),
        Err((
            RefusalKind::InvalidArgument,
            "node 00000 is ambiguous (2 matches found)".to_owned()
        ))
    );
    assert_eq!(
        lookup(world.state.find_service("nope")),
        Err((RefusalKind::NotFound, "service nope not found".to_owned()))
    );
    assert_eq!(
        lookup(world.state.find_task("")),
        Err((RefusalKind::NotFound, "task  not found".to_owned()))
    );
    assert_eq!(
        world.state.find_service("0000").unwrap().id,
        web,
        "the only one so"
    );
    assert_eq!(
        world
            .state
            .find_task(&format!("web.1.{}", task.id))
            .unwrap()
            .id,
        task.id
    );
}

#[test]
fn a_node_is_assigned_its_own_tasks_only() {
    let mut world = World::with_nodes(2);
    let web = world.create(web(3));
    world.plan();
    let of = |host: &str| world.state.assignments(world.node(host));
    let (h1, h2) = (of("h1"), of("h2"));
    assert_eq!(h1.len() + h2.len(), 3);
    assert!(h1.keys().all(|task| !h2.contains_key(task)));
    let first = h1.values().next().unwrap();
    assert_eq!((first.service, first.desired), (web, TaskState::Running));
    assert_eq!(
        first.container_name(world.node("h1")),
        format!("web.{}.{}", first.slot, first.task)
    );
}
