use crate::object::TaskState;
use crate::spec::{Availability, Placement, Platform, ServiceSpec};
use crate::testing::{World, constrain, publish, reserve_memory, scale, web};

fn named(name: &str, replicas: u64) -> ServiceSpec {
    ServiceSpec {
        name: name.to_owned(),
        ..web(replicas)
    }
}

/// The text that `service ps` shows for the first task that waits.
fn pending(world: &World, service: crate::Id) -> String {
    let waits = |task: &&std::sync::Arc<crate::object::Task>| task.node.is_none();
    let tasks = world.live(service);
    let task = tasks.iter().find(waits).expect("a task that waits");
    task.status.error.clone().unwrap()
}

#[test]
fn a_refusal_says_what_is_missing_where() {
    let mut world = World::with_nodes(4);
    world.kill_node("h1");
    world.edit_node("h2", |spec| spec.availability = Availability::Pause);
    world.edit_node("h3", |spec| {
        spec.labels.insert("gpu".to_owned(), "true".to_owned());
    });
    let mut spec = web(1);
    constrain(&mut spec, "node.labels.gpu==true");
    reserve_memory(&mut spec, 64 << 30);
    let web = world.create(spec);
    world.settle();
    assert_eq!(
        pending(&world, web),
        "no suitable node (2 nodes not available for new tasks: down, paused; \
         insufficient resources on 1 node: not enough memory; \
         scheduling constraints not satisfied on 1 node: node.labels.gpu==true)"
    );
}

#[test]
fn without_nodes_there_is_no_suitable_node() {
    let mut world = World::new();
    let web = world.create(web(1));
    world.settle();
    assert_eq!(pending(&world, web), "no suitable node");
}

#[test]
fn the_reason_is_written_once() {
    let mut world = World::new();
    world.create(web(1));
    assert!(!world.plan().is_empty());
    world.now = world.now + crate::testing::SECOND * 60;
    assert_eq!(world.plan(), []);
}

#[test]
fn reservations_are_kept_to() {
    let mut world = World::with_nodes(2);
    let mut spec = web(7);
    reserve_memory(&mut spec, 3 << 30);
    let web = world.create(spec);
    world.settle();
    assert_eq!(
        world.running(web).len(),
        4,
        "two of 3 GiB on each node of 8 GiB"
    );
    assert_eq!(
        pending(&world, web),
        "no suitable node (insufficient resources on 2 nodes: not enough memory)"
    );
    world.add_node("h3");
    world.settle();
    assert_eq!(world.running(web).len(), 6);
}

#[test]
fn a_host_port_is_given_once_per_node() {
    let mut world = World::with_nodes(2);
    let mut spec = web(3);
    publish(&mut spec, 8080);
    let web = world.create(spec.clone());
    world.settle();
    assert_eq!(world.running(web).len(), 2);
    assert_eq!(
        pending(&world, web),
        "no suitable node (host-mode port already in use on 2 nodes: 8080/tcp)"
    );
    let other = world.create(ServiceSpec {
        name: "other".to_owned(),
        ..spec
    });
    world.settle();
    assert_eq!(world.running(other).len(), 0, "nor to another service");
}

#[test]
fn an_update_waits_for_its_own_host_port() {
    let mut world = World::with_nodes(1);
    let mut spec = web(1);
    publish(&mut spec, 8080);
    let web = world.create(spec);
    world.settle();
    world.update(web, |spec| spec.task.force_update += 1);
    world.settle();
    assert_eq!(world.running(web).len(), 1);
    assert_eq!(world.running(web)[0].spec.task.force_update, 1);
}

#[test]
fn a_limit_per_node_is_kept_to() {
    let mut world = World::with_nodes(2);
    let mut spec = web(5);
    spec.task.placement = Some(Placement {
        max_per_node: Some(2),
        ..Placement::default()
    });
    let web = world.create(spec);
    world.settle();
    assert_eq!(world.running(web).len(), 4);
    assert_eq!(
        pending(&world, web),
        "no suitable node (max replicas per node limit exceed on 2 nodes: at most 2)"
    );
}

#[test]
fn an_image_runs_where_its_platform_is() {
    let mut world = World::with_nodes(1);
    let platform = |architecture: &str| Platform {
        architecture: architecture.to_owned(),
        os: "linux".to_owned(),
    };
    let mut arm = named("arm", 1);
    arm.task.placement = Some(Placement {
        platforms: vec![platform("arm64"), platform("riscv64")],
        ..Placement::default()
    });
    let mut both = named("both", 1);
    both.task.placement = Some(Placement {
        platforms: vec![platform("arm64"), platform("amd64")],
        ..Placement::default()
    });
    let (arm, both) = (world.create(arm), world.create(both));
    world.settle();
    assert_eq!(
        pending(&world, arm),
        "no suitable node (unsupported platform on 1 node: \
         the image is for linux/arm64, linux/riscv64)"
    );
    assert_eq!(world.running(both).len(), 1);
}

#[test]
fn a_board_gets_what_its_version_of_arm_runs() {
    let mut world = World::with_nodes(2);
    for (host, machine) in [("h1", "armv6l"), ("h2", "armv7l")] {
        let node = world.state.find_node(host).unwrap().clone();
        let mut description = node.description.clone().unwrap();
        description.platform.architecture = machine.to_owned();
        world.describe(node.id, description);
    }
    let on = |world: &mut World, name: &str, edit: &dyn Fn(&mut ServiceSpec)| {
        let mut spec = named(name, 2);
        edit(&mut spec);
        let service = world.create(spec);
        world.settle();
        let running = world.running(service).into_iter();
        let mut nodes: Vec<_> = running.filter_map(|task| task.node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes.len()
    };
    let for_images = |platforms: &'static [&'static str]| {
        move |spec: &mut ServiceSpec| {
            let platforms = platforms.iter().map(|it| it.parse().unwrap());
            spec.task.placement.get_or_insert_default().platforms = platforms.collect();
        }
    };
    let only = |platform: &'static str| {
        move |spec: &mut ServiceSpec| {
            spec.task.container.run.platform = Some(platform.parse().unwrap());
        }
    };
    assert_eq!(on(&mut world, "both", &for_images(&["linux/arm/v6"])), 2);
    assert_eq!(
        on(&mut world, "new", &for_images(&["linux/arm/v7", "amd64"])),
        1
    );
    assert_eq!(on(&mut world, "chosen", &only("linux/arm/v7")), 1);
    assert_eq!(on(&mut world, "none", &only("linux/arm64")), 0);
    let none = world.state.find_service("none").unwrap().id;
    assert_eq!(
        pending(&world, none),
        "no suitable node (unsupported platform on 2 nodes: the service is for linux/arm64)"
    );
}

#[test]
fn tasks_are_spread_over_labels_before_nodes() {
    let mut world = World::with_nodes(4);
    for (host, zone) in [("h1", "a"), ("h2", "a"), ("h3", "a"), ("h4", "b")] {
        world.edit_node(host, |spec| {
            spec.labels.insert("zone".to_owned(), zone.to_owned());
        });
    }
    let mut spec = web(6);
    spec.task.placement = Some(Placement {
        preferences: vec!["node.labels.zone".to_owned()],
        ..Placement::default()
    });
    let web = world.create(spec);
    world.settle();
    let spread = world.spread(web);
    assert_eq!(spread["h4"], 3, "{spread:?}");
    assert_eq!((spread["h1"], spread["h2"], spread["h3"]), (1, 1, 1));
}

#[test]
fn spreading_counts_what_runs_already() {
    let mut world = World::with_nodes(3);
    for (host, zone) in [("h1", "a"), ("h2", "a"), ("h3", "b")] {
        world.edit_node(host, |spec| {
            spec.labels.insert("zone".to_owned(), zone.to_owned());
        });
    }
    let pause = |spec: &mut crate::spec::NodeSpec| spec.availability = Availability::Pause;
    world.edit_node("h3", pause);
    let mut spec = web(2);
    spec.task.placement = Some(Placement {
        preferences: vec!["node.labels.zone".to_owned()],
        ..Placement::default()
    });
    let web = world.create(spec);
    world.settle();
    world.edit_node("h3", |spec| spec.availability = Availability::Active);
    world.update(web, |spec| scale(spec, 4));
    world.settle();
    assert_eq!(world.spread(web)["h3"], 2, "two were in zone a before");
}

#[test]
fn a_full_branch_does_not_hold_up_the_others() {
    let mut world = World::with_nodes(2);
    world.edit_node("h1", |spec| {
        spec.labels.insert("zone".to_owned(), "a".to_owned());
    });
    let mut spec = web(6);
    spec.task.placement = Some(Placement {
        preferences: vec!["node.labels.zone".to_owned()],
        ..Placement::default()
    });
    reserve_memory(&mut spec, 2 << 30);
    let big = world.create(spec);
    world.settle();
    world.update(big, |spec| scale(spec, 8));
    world.settle();
    assert_eq!(world.running(big).len(), 8, "four of 2 GiB on each");
}

#[test]
fn the_node_with_fewest_tasks_is_taken_among_equals() {
    let mut world = World::with_nodes(3);
    let pinned = |name: &str, host: &str| {
        let mut spec = named(name, 2);
        constrain(&mut spec, &format!("node.hostname=={host}"));
        spec
    };
    world.create(pinned("one", "h1"));
    world.create(pinned("two", "h3"));
    world.settle();
    let web = world.create(named("three", 1));
    world.settle();
    assert_eq!(world.spread(web), [("h2".to_owned(), 1)].into());
}

#[test]
fn a_node_where_this_version_keeps_failing_comes_last() {
    let mut world = World::with_nodes(2);
    let mut spec = web(1);
    spec.task.restart = Some(crate::spec::RestartPolicy {
        delay: Some(std::time::Duration::ZERO),
        ..Default::default()
    });
    let web = world.create(spec);
    world.edit_node("h2", |spec| spec.availability = Availability::Pause);
    world.settle();
    // A longer history than by default, to see five failures.
    world.set_history(20);
    for _ in 0..5 {
        let task = world.running(web)[0].clone();
        world.fail(task.id);
        if world
            .tasks(web)
            .iter()
            .filter(|it| world.effective(it) == TaskState::Failed)
            .count()
            == 5
        {
            world.edit_node("h2", |spec| spec.availability = Availability::Active);
            // Busier, and still better than h1.
            let mut other = named("other", 3);
            constrain(&mut other, "node.hostname==h2");
            world.create(other);
        }
        world.run_for(crate::testing::SECOND * 20);
    }
    assert_eq!(world.spread(web), [("h2".to_owned(), 1)].into());
}
