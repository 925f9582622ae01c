use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;

use crate::codec::{read_snapshot, write_snapshot};
use crate::command::{Command, Refusal, RefusalKind};
use crate::file::{FileKind, FileReference};
use crate::id::Id;
use crate::object::TaskState;
use crate::spec::{Labels, ServiceSpec};
use crate::testing::{SECOND, World, file, refer, set_image, web};

fn create(world: &mut World, kind: FileKind, name: &str) -> Id {
    let id = world.next_id();
    let spec = file(name, name.as_bytes());
    world
        .command(Command::CreateFile { id, kind, spec })
        .unwrap();
    id
}

fn check_refused(world: &mut World, command: Command, kind: RefusalKind, message: &str) {
    let before = world.state.clone();
    assert_eq!(world.command(command), Err(kind.because(message)));
    assert_eq!(world.state, before);
}

const SECRET: FileKind = FileKind::Secret;
const CONFIG: FileKind = FileKind::Config;

#[test]
fn a_name_is_of_one_secret_and_of_one_config() {
    let mut world = World::new();
    create(&mut world, SECRET, "s1");
    create(&mut world, CONFIG, "s1");
    let id = world.next_id();
    let spec = file("S1", b"other");
    for kind in FileKind::ALL {
        let spec = spec.clone();
        let text = format!("{kind} S1 already exists");
        let command = Command::CreateFile { id, kind, spec };
        check_refused(&mut world, command, RefusalKind::AlreadyExists, &text);
    }
}

#[test]
fn a_name_means_one_kind_and_so_does_an_id() {
    let mut world = World::new();
    let secret = create(&mut world, SECRET, "s1");
    assert_eq!(world.state.find_file(SECRET, "s1").unwrap().id, secret);
    assert_eq!(world.state.find_file(SECRET, "S1").unwrap().id, secret);
    for text in ["s1".to_owned(), secret.to_string()] {
        let refused = world.state.find_file(CONFIG, &text).unwrap_err();
        assert_eq!(refused.message, format!("config {text} not found"));
    }
}

#[test]
fn an_update_changes_labels_and_names_the_version() {
    let mut world = World::new();
    let id = create(&mut world, SECRET, "s1");
    let before = Arc::clone(world.state.file(SECRET, id).unwrap());
    let labels = Labels::from([("a".to_owned(), "b".to_owned())]);
    let update = |version| Command::UpdateFile {
        id,
        kind: SECRET,
        version,
        labels: labels.clone(),
    };
    world.command(update(before.meta.version)).unwrap();
    let after = world.state.file(SECRET, id).unwrap();
    assert_eq!(after.spec.labels, labels);
    assert!(Arc::ptr_eq(&after.spec.content, &before.spec.content));
    assert!(after.meta.version > before.meta.version);
    let stale = update(before.meta.version);
    let text = "update out of sequence";
    check_refused(&mut world, stale, RefusalKind::Unknown, text);
}

#[test]
fn what_a_service_uses_stays() {
    let mut world = World::new();
    let id = create(&mut world, CONFIG, "c1");
    let mut spec = web(1);
    refer(&mut spec, CONFIG, id, "c1");
    let service = world.create(spec.clone());
    spec.name = "api".to_owned();
    let other = world.create(spec);
    let remove = || Command::RemoveFile { id, kind: CONFIG };
    let text = "config 'c1' is in use by the following services: api, web";
    check_refused(&mut world, remove(), RefusalKind::InvalidArgument, text);
    world.command(Command::RemoveService { id: other }).unwrap();
    let text = "config 'c1' is in use by the following service: web";
    check_refused(&mut world, remove(), RefusalKind::InvalidArgument, text);
    world.update(service, |spec| spec.task.container.configs.clear());
    world.command(remove()).unwrap();
    assert!(world.state.file(CONFIG, id).is_none());
    let gone = format!("config {id} not found");
    check_refused(&mut world, remove(), RefusalKind::NotFound, &gone);
}

#[test]
fn a_service_refers_only_to_what_is_there_under_that_name() {
    let mut world = World::new();
    let id = create(&mut world, SECRET, "s1");
    let refused = |world: &mut World, kind, references: &[(Id, &str)], text: &str| {
        let mut spec = web(1);
        for (id, name) in references {
            refer(&mut spec, kind, *id, name);
        }
        let (id, spec) = (world.next_id(), Arc::new(spec));
        let command = Command::CreateService { id, spec };
        check_refused(world, command, RefusalKind::InvalidArgument, text);
    };
    refused(&mut world, SECRET, &[(id, "s2")], "secret not found: s2");
    refused(&mut world, CONFIG, &[(id, "s1")], "config not found: s1");
    let strangers = [(Id::default(), "a"), (id, "s1"), (Id::default(), "b")];
    refused(&mut world, SECRET, &strangers, "secrets not found: a, b");
}

#[test]
fn there_is_no_way_back_to_what_was_removed() {
    let mut world = World::new();
    let id = create(&mut world, SECRET, "s1");
    let mut spec = web(1);
    refer(&mut spec, SECRET, id, "s1");
    let service = world.create(spec);
    world.update(service, |spec| spec.task.container.secrets.clear());
    world
        .command(Command::RemoveFile { id, kind: SECRET })
        .unwrap();
    let version = world.service(service).meta.version;
    let rollback = Command::RollbackService {
        id: service,
        version,
    };
    let text = "secret not found: s1";
    check_refused(&mut world, rollback, RefusalKind::InvalidArgument, text);
}

#[test]
fn a_node_is_given_what_its_open_tasks_need() {
    let mut world = World::with_nodes(2);
    let secret = create(&mut world, SECRET, "s1");
    let config = create(&mut world, CONFIG, "c1");
    create(&mut world, SECRET, "unused");
    let mut spec = web(1);
    refer(&mut spec, SECRET, secret, "s1");
    refer(&mut spec, CONFIG, config, "c1");
    let service = world.create(spec);
    world.settle();
    let task = Arc::clone(&world.running(service)[0]);
    let node = task.node.unwrap();
    let needed: BTreeSet<Id> = world.state.files_of(node).into_keys().collect();
    assert_eq!(needed, BTreeSet::from([secret, config]));
    let assignment = world.state.assignments(node).remove(&task.id).unwrap();
    assert_eq!(assignment.files[&secret].data.bytes(), b"s1");
    for other in world.state.nodes().filter(|it| it.id != node) {
        assert!(world.state.files_of(other.id).is_empty());
    }

    world.update(service, |spec| set_image(spec, "web:2"));
    world.plan();
    let old = world.state.task(task.id).unwrap();
    assert_eq!(old.desired, TaskState::Shutdown);
    let assignment = world.state.assignments(node).remove(&task.id).unwrap();
    assert!(assignment.files.is_empty(), "it is to stop");
}

#[derive(Debug, Clone)]
enum Event {
    Create(FileKind, u8),
    Label(FileKind, Index, u64),
    Remove(FileKind, Index),
    /// A service that refers to these.
    Service(Vec<(FileKind, Index)>),
    Refer(Index, Vec<(FileKind, Index)>),
    RemoveService(Index),
    Rollback(Index),
}

fn event() -> impl Strategy<Value = Event> {
    let kind = || prop_oneof![Just(SECRET), Just(CONFIG)];
    let files = || prop::collection::vec((kind(), any::<Index>()), 0..3);
    prop_oneof![
        3 => (kind(), 0..6_u8).prop_map(|(kind, name)| Event::Create(kind, name)),
        1 => (kind(), any::<Index>(), 0..3_u64).prop_map(|(k, at, old)| Event::Label(k, at, old)),
        2 => (kind(), any::<Index>()).prop_map(|(kind, at)| Event::Remove(kind, at)),
        2 => files().prop_map(Event::Service),
        2 => (any::<Index>(), files()).prop_map(|(at, files)| Event::Refer(at, files)),
        1 => any::<Index>().prop_map(Event::RemoveService),
        1 => any::<Index>().prop_map(Event::Rollback),
    ]
}

fn file_at(world: &World, kind: FileKind, at: Index) -> Option<(Id, String)> {
    let files: Vec<_> = world.state.files(kind).collect();
    let file = files.get(at.index(files.len().max(1)))?;
    Some((file.id, file.spec.name.clone()))
}

fn service_at(world: &World, at: Index) -> Option<Id> {
    let services: Vec<Id> = world.state.services().map(|it| it.id).collect();
    services.get(at.index(services.len().max(1))).copied()
}

fn with_files(world: &World, spec: &mut ServiceSpec, files: &[(FileKind, Index)]) {
    spec.task.container.secrets.clear();
    spec.task.container.configs.clear();
    for (kind, at) in files {
        if let Some((id, name)) = file_at(world, *kind, *at) {
            refer(spec, *kind, id, &name);
        }
    }
}

/// What the event asks; `None` where it is of something that is not there.
fn command(world: &mut World, event: Event) -> Option<Command> {
    let id = world.next_id();
    Some(match event {
        Event::Create(kind, name) => Command::CreateFile {
            id,
            kind,
            spec: file(&format!("f{name}"), &[name]),
        },
        Event::Label(kind, at, old) => {
            let (id, _) = file_at(world, kind, at)?;
            Command::UpdateFile {
                id,
                kind,
                version: world.state.file(kind, id)?.meta.version - old.min(1),
                labels: Labels::from([("old".to_owned(), old.to_string())]),
            }
        }
        Event::Remove(kind, at) => {
            let (id, _) = file_at(world, kind, at)?;
            Command::RemoveFile { id, kind }
        }
        Event::Service(files) => {
            let mut spec = web(1);
            spec.name = format!("service-{id}");
            with_files(world, &mut spec, &files);
            let spec = Arc::new(spec);
            Command::CreateService { id, spec }
        }
        Event::Refer(at, files) => {
            let id = service_at(world, at)?;
            let known = Arc::clone(world.service(id));
            let mut spec = ServiceSpec::clone(&known.spec);
            with_files(world, &mut spec, &files);
            let (version, spec) = (known.meta.version, Arc::new(spec));
            Command::UpdateService { id, version, spec }
        }
        Event::RemoveService(at) => Command::RemoveService {
            id: service_at(world, at)?,
        },
        Event::Rollback(at) => {
            let id = service_at(world, at)?;
            let version = world.service(id).meta.version;
            Command::RollbackService { id, version }
        }
    })
}

fn check_references(world: &World) {
    let is_there = |kind, reference: &FileReference| {
        let file = world.state.file(kind, reference.id);
        file.is_some_and(|file| file.spec.name == reference.name)
    };
    for service in world.state.services() {
        for (kind, reference) in service.spec.task.container.all_files() {
            assert!(is_there(kind, reference), "{}: {reference:?}", service.id);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is asked, no service refers to what is not there, names are of
    /// one object, what is refused changes nothing, and a snapshot is all of it.
    #[test]
    fn no_service_is_left_without_its_files(events in prop::collection::vec(event(), 1..60)) {
        let mut world = World::with_nodes(2);
        for event in events {
            let Some(command) = command(&mut world, event) else { continue };
            let before = world.state.clone();
            let outcome: Result<_, Refusal> = world.command(command);
            if outcome.is_err() {
                prop_assert_eq!(&world.state, &before);
            }
            check_references(&world);
            for kind in FileKind::ALL {
                let names: BTreeSet<_> = world.state.files(kind).map(|it| &it.spec.name).collect();
                prop_assert_eq!(names.len(), world.state.files(kind).len());
                for file in world.state.files(kind) {
                    let found = world.state.find_file(kind, &file.spec.name).unwrap();
                    prop_assert_eq!(found.id, file.id);
                }
            }
        }
        world.run_for(SECOND * 60);
        let mut bytes = Vec::new();
        write_snapshot(&world.state, &mut bytes).unwrap();
        prop_assert_eq!(read_snapshot(bytes.as_slice()).unwrap(), world.state);
    }
}
