use super::*;
use crate::file::FileReference;
use crate::object::TaskState;
use crate::spec::{Driver, MountKind, VolumeOptions};

fn place() -> Place {
    Place {
        node: Id::from_u128(7),
        hostname: "h4".to_owned(),
        platform: Platform {
            architecture: "aarch64".to_owned(),
            os: "linux".to_owned(),
        },
    }
}

fn assignment(edit: impl FnOnce(&mut ContainerSpec)) -> Assignment {
    let mut spec = ServiceSpec {
        name: "web".to_owned(),
        labels: BTreeMap::from([("tier".to_owned(), "back".to_owned())]),
        ..ServiceSpec::default()
    };
    edit(&mut spec.task.container);
    Assignment {
        task: Id::from_u128(1),
        service: Id::from_u128(2),
        slot: 3,
        spec: Arc::new(spec),
        desired: TaskState::Running,
        networks: Vec::new(),
        files: BTreeMap::new(),
    }
}

fn env(entries: &[&str]) -> Assignment {
    assignment(|container| container.env = entries.iter().map(|it| (*it).to_owned()).collect())
}

/// As a template, with this content.
fn with_file(assignment: &mut Assignment, kind: FileKind, id: u128, target: &str, data: &str) {
    let reference = FileReference {
        id: Id::from_u128(id),
        name: format!("{kind}-{id}"),
        target: target.to_owned(),
        ..FileReference::default()
    };
    let spec = Arc::make_mut(&mut assignment.spec);
    match kind {
        FileKind::Secret => spec.task.container.secrets.push(reference),
        FileKind::Config => spec.task.container.configs.push(reference),
    }
    let content = FileContent {
        templating: Some(Driver {
            name: GOLANG.to_owned(),
            ..Driver::default()
        }),
        data: data.as_bytes().to_vec().into(),
    };
    assignment
        .files
        .insert(Id::from_u128(id), Arc::new(content));
}

#[test]
fn every_placeholder_of_the_environment_is_filled_in() {
    let assignment = env(&[
        "{{.Not}}=there",
        "NAME",
        "TASK={{.Task.Name}} {{.Task.Slot}}",
        "NODE={{.Node.Hostname}}/{{.Node.Platform.OS}}/{{.Node.Platform.Architecture}}",
        "LABEL={{index .Service.Labels \"tier\"}}",
        "IDS={{.Service.ID}} {{.Node.ID}} {{.Task.ID}}",
    ]);
    assert!(is_templated(&assignment));
    let expanded = expand(&assignment, &place()).unwrap();
    let id = |number| Id::from_u128(number).to_string();
    assert_eq!(
        expanded.spec.task.container.env,
        [
            "{{.Not}}=there".to_owned(),
            "NAME".to_owned(),
            format!("TASK=web.3.{} 3", id(1)),
            "NODE=h4/linux/aarch64".to_owned(),
            "LABEL=back".to_owned(),
            format!("IDS={} {} {}", id(2), id(7), id(1)),
        ]
    );
}

#[test]
fn a_task_of_every_node_has_the_node_for_its_slot() {
    let mut assignment = env(&["SLOT={{.Task.Slot}}"]);
    assignment.slot = 0;
    let expanded = expand(&assignment, &place()).unwrap();
    let slot = format!("SLOT={}", Id::from_u128(7));
    assert_eq!(expanded.spec.task.container.env, [slot]);
}

#[test]
fn host_names_and_mounts_are_filled_in() {
    let text = |what: &str| format!("{what}-{{{{.Task.Slot}}}}");
    let map = |what: &str| BTreeMap::from([("{{k}}".to_owned(), text(what))]);
    let assignment = assignment(|container| {
        container.hostname = Some(text("host"));
        container.mounts = vec![Mount {
            kind: MountKind::Volume,
            source: text("source"),
            target: text("/target"),
            read_only: false,
            consistency: None,
            bind: None,
            volume: Some(VolumeOptions {
                labels: map("label"),
                driver: Some(Driver {
                    name: text("driver"),
                    options: map("option"),
                }),
                ..VolumeOptions::default()
            }),
            tmpfs: None,
        }];
    });
    let expanded = expand(&assignment, &place()).unwrap();
    let container = &expanded.spec.task.container;
    assert_eq!(container.hostname.as_deref(), Some("host-3"));
    let mount = &container.mounts[0];
    assert_eq!((&*mount.source, &*mount.target), ("source-3", "/target-3"));
    let volume = mount.volume.clone().unwrap();
    let driver = volume.driver.unwrap();
    assert_eq!(volume.labels["{{k}}"], "label-3");
    assert_eq!(driver.options["{{k}}"], "option-3");
    assert_eq!(driver.name, text("driver"), "it is no template");
}

#[test]
fn a_file_may_quote_others_of_its_task() {
    let mut assignment = env(&["PORT=80{{.Task.Slot}}"]);
    with_file(
        &mut assignment,
        FileKind::Secret,
        10,
        "pw",
        "hunter2 {{.Task.Slot}}",
    );
    let text = "user={{.Service.Name}} pw={{secret \"pw\"}} port={{env \"PORT\"}}{{env \"NO\"}}";
    with_file(&mut assignment, FileKind::Config, 11, "/c", text);
    let expanded = expand(&assignment, &place()).unwrap();
    let data = |id| expanded.files[&Id::from_u128(id)].data.bytes().to_vec();
    assert_eq!(data(10), b"hunter2 3");
    // As they were written: templates do not wait for each other.
    let expected = "user=web pw=hunter2 {{.Task.Slot}} port=80{{.Task.Slot}}";
    assert_eq!(String::from_utf8(data(11)).unwrap(), expected);
}

#[test]
fn a_file_that_is_no_template_is_left_as_it_is() {
    let mut assignment = env(&[]);
    with_file(
        &mut assignment,
        FileKind::Config,
        11,
        "/c",
        "{{ this is no action",
    );
    let content = assignment.files.get_mut(&Id::from_u128(11)).unwrap();
    Arc::make_mut(content).templating = None;
    assert!(!is_templated(&assignment));
    assert_eq!(expand(&assignment, &place()).unwrap(), assignment);
}

#[test]
fn what_cannot_be_filled_in_says_where() {
    let refused = |assignment: &Assignment| expand(assignment, &place()).unwrap_err().to_string();
    assert_eq!(
        refused(&env(&["A={{.Service.Foo}}"])),
        "expanding env \"A={{.Service.Foo}}\" failed: template: expansion:1: can't evaluate \
         field Foo"
    );
    let mut assignment = env(&[]);
    with_file(
        &mut assignment,
        FileKind::Config,
        11,
        "/c",
        "\n{{secret \"pw\"}}",
    );
    assert_eq!(
        refused(&assignment),
        "failed to expand templated config config-11: template: expansion:2: error calling \
         secret: secret target pw not found"
    );
}

#[test]
fn what_is_wrong_in_a_secret_is_not_told() {
    let mut assignment = env(&[]);
    with_file(&mut assignment, FileKind::Secret, 11, "/c", "\n{{hunter2}}");
    assert_eq!(
        expand(&assignment, &place()).unwrap_err().to_string(),
        "failed to expand templated secret secret-11: there is an error in line 2"
    );
}
