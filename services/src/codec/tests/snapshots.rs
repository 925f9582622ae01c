//! Snapshots of whole states.

use super::*;

#[test]
fn a_task_in_a_snapshot_keeps_its_generic_resources() {
    let mut world = World::with_nodes(1);
    world.settle();
    world.create(web(1));
    world.settle();
    let id = world.state.tasks().next().unwrap().id;
    let without = snapshot(&world.state).len();
    world.state.edit_task(id).unwrap().generic = given();
    let bytes = snapshot(&world.state);
    let record = bincode::serde::encode_to_vec(id, bincode::config::standard()).unwrap();
    let record = format!("0010{}{GIVEN}", hex(&record)).replace(' ', "");
    assert!(
        hex(&bytes).contains(&record),
        "{}",
        hex(&bytes[without - 8..])
    );
    assert_eq!(read_snapshot(bytes.as_slice()).unwrap(), world.state);
}

#[test]
fn the_records_of_modes_in_a_snapshot_stay_as_they_are() {
    let mut world = World::with_nodes(1);
    world.settle();
    let before = snapshot(&world.state).len();
    world.create(global_job());
    world.settle();
    let task = world.state.tasks().next().unwrap();
    let bytes = hex(&snapshot(&world.state)[before - 8..]);
    let fixed = |id: Id| {
        let bytes = bincode::serde::encode_to_vec(id, bincode::config::standard());
        hex(&bytes.unwrap())
    };
    let (service, node) = (fixed(task.service), fixed(task.node.unwrap()));
    let task = fixed(task.id);
    let at = hex(&world.now.0.to_le_bytes());
    // The job of the service, the node of its task, and the task's run.
    for record in [
        format!("000d{service}00fd{at}"),
        format!("000c{task}{node}"),
        format!("000e{task}00"),
    ] {
        let length = hex(&u32::try_from(record.len() / 2).unwrap().to_le_bytes());
        assert!(bytes.contains(&(length + &record)), "{record} in {bytes}");
    }
}

#[test]
fn a_snapshot_of_before_networks_is_read() {
    let state = read_snapshot(unhex(SNAPSHOT_BEFORE_NETWORKS).as_slice()).unwrap();
    let service = state.services().next().unwrap();
    assert_eq!(service.endpoint.ports, service.spec.ports());
    assert_eq!(service.endpoint.ports[0].host_ip, None);
    assert!(state.is_whole(&service.spec, &service.endpoint));
    assert_eq!(state.networks().len(), 0);
    assert_eq!(state.tasks().next().unwrap().addresses, []);
    let limits = state.cluster().unwrap().spec.clone();
    assert_eq!(limits.address_pools, ClusterSpec::default().address_pools);
    let mut world = World::new();
    world.state = state;
    let node = world.state.nodes().next().unwrap().id;
    world.set_health(node, NodeHealth::Ready);
    world.settle();
    assert!(world.state.ingress_network().is_some(), "made afterwards");
    assert_eq!(world.state.services().next().unwrap().update, None);
}

const SNAPSHOT_BEFORE_NETWORKS: &str = include_str!("../before_networks.hex");

/// A state with some of everything, and tasks of two specs.
fn rich_world() -> World {
    let mut world = World::with_nodes(3);
    let mut spec = network("back");
    spec.ipv6 = true;
    spec.attachable = true;
    let back = world.create_network(spec).unwrap();
    let node = world.node("h1");
    let attachment = world.attachment(node, back, &[]).unwrap();
    world.command(attachment).unwrap();
    let mut spec = web(4);
    attach(&mut spec, back);
    for kind in FileKind::ALL {
        let (id, content) = (world.next_id(), file("f1", b"bytes"));
        let create = Command::CreateFile {
            id,
            kind,
            spec: content,
        };
        world.command(create).unwrap();
        refer(&mut spec, kind, id, "f1");
    }
    publish_ingress(&mut spec, &[8080, 0]);
    let service = world.create(spec);
    for (name, spec) in [
        ("other", web(2)),
        ("agent", global()),
        ("job", job(2, 5)),
        ("global-job", global_job()),
    ] {
        let name = name.to_owned();
        world.create(ServiceSpec { name, ..spec });
    }
    world.settle();
    world.update(service, |spec| set_image(spec, "web:2"));
    world.run_for(SECOND);
    let gone = world.node("h3");
    world.command(Command::RemoveNode { id: gone }).unwrap();
    world.settle();
    world
}

#[test]
fn a_snapshot_is_the_whole_state() {
    let world = rich_world();
    let bytes = snapshot(&world.state);
    let read = read_snapshot(bytes.as_slice()).unwrap();
    assert_eq!(read, world.state);
    assert_eq!(snapshot(&read), bytes);
    assert_eq!(
        read_snapshot(snapshot(&State::default()).as_slice()).unwrap(),
        State::default()
    );
}

#[test]
fn tasks_share_their_spec_again_after_a_snapshot() {
    let read = read_snapshot(snapshot(&rich_world().state).as_slice()).unwrap();
    for task in read.tasks() {
        for other in read.tasks_of_service(task.service) {
            if other.spec_version == task.spec_version {
                assert!(Arc::ptr_eq(&task.spec, &other.spec));
            }
        }
        let service = read.service(task.service).unwrap();
        if service.spec_version == task.spec_version {
            assert!(Arc::ptr_eq(&task.spec, &service.spec));
        }
    }
}

#[test]
fn a_snapshot_that_was_cut_short_is_refused() {
    let bytes = snapshot(&rich_world().state);
    for length in 0..bytes.len() {
        assert!(read_snapshot(&bytes[..length]).is_err(), "at {length}");
    }
}

#[test]
fn a_snapshot_that_lost_a_record_is_refused() {
    let bytes = snapshot(&rich_world().state);
    let first = 4 + u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize;
    let error = read_snapshot(&bytes[first..]).unwrap_err();
    assert!(error.to_string().contains("records and says"), "{error}");
}

static RICH_SNAPSHOT: LazyLock<Vec<u8>> = LazyLock::new(|| snapshot(&rich_world().state));

proptest! {
    #[test]
    fn decoders_refuse_noise(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_proposal(&bytes);
        let _ = decode_answer(&bytes);
        let _ = decode_assignments(&bytes);
        let _ = read_snapshot(bytes.as_slice());
    }

    /// One bit of something real: the decoder gets further than with noise.
    #[test]
    fn decoders_survive_a_flipped_bit(at: prop::sample::Index, bit in 0..8_u8, which: prop::sample::Index) {
        let commands = every_command();
        let command = commands[which.index(commands.len())].clone();
        let mut bytes = encode_proposal(&Proposal { at: Timestamp(1), command }).unwrap();
        let at_byte = at.index(bytes.len());
        bytes[at_byte] ^= 1 << bit;
        let _ = decode_proposal(&bytes);
        let mut bytes = RICH_SNAPSHOT.clone();
        let at_byte = at.index(bytes.len());
        bytes[at_byte] ^= 1 << bit;
        let _ = read_snapshot(bytes.as_slice());
    }
}
