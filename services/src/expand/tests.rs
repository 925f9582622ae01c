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
        generic: Default::default(),
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

#[test]
fn all_texts_of_a_task_share_one_budget() {
    let refused = |assignment: &Assignment| {
        let error = expand(assignment, &place()).unwrap_err().to_string();
        let at_the_door = check_service(&assignment.spec).unwrap_err().to_string();
        assert!(error.len() < 1000 && at_the_door.len() < 1000);
        (error, at_the_door)
    };
    let mut many = env(&["A={{.Service.Labels.tier}}"; 30_000]);
    let (error, at_the_door) = refused(&many);
    assert!(error.contains("too many steps"), "{error}");
    assert!(at_the_door.contains("too many steps"), "{at_the_door}");
    let spec = Arc::make_mut(&mut many.spec);
    spec.task.container.env.truncate(100);
    let large = "x".repeat(500_000);
    spec.labels.insert("tier".to_owned(), large);
    let (error, at_the_door) = refused(&many);
    assert!(error.contains("too large"), "{error}");
    assert!(at_the_door.contains("too large"), "{at_the_door}");
}

#[test]
fn a_file_at_many_places_is_filled_in_once() {
    let mut assignment = env(&[]);
    let text = "x".repeat(100_000) + "{{.Task.Slot}}";
    with_file(&mut assignment, FileKind::Config, 11, "/c", &text);
    let configs = &mut Arc::make_mut(&mut assignment.spec).task.container.configs;
    let more = (0..15_000).map(|at| FileReference {
        target: format!("/c{at}"),
        ..configs[0].clone()
    });
    let more: Vec<_> = more.collect();
    configs.extend(more);
    let expanded = expand(&assignment, &place()).unwrap();
    assert_eq!(expanded.files.len(), 1);
    let content = &expanded.files[&Id::from_u128(11)];
    assert_eq!(content.templating, None);
    assert!(content.data.bytes().ends_with(b"x3"));
}

#[test]
fn asking_for_one_of_many_values_is_a_look_up() {
    let names: Vec<String> = (0..30_000).map(|at| format!("N{at}={at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut assignment = env(&names);
    let text = "{{env \"N29999\"}}".repeat(5000);
    with_file(&mut assignment, FileKind::Config, 11, "/c", &text);
    let expanded = expand(&assignment, &place()).unwrap();
    let data = expanded.files[&Id::from_u128(11)].data.bytes();
    assert_eq!(data.len(), 5 * 5000);
}

#[test]
fn a_config_that_reads_a_secret_does_not_tell_it() {
    for text in [
        "{{range secret \"pw\"}}{{end}}",
        "{{config (secret \"pw\")}}",
        "{{printf \"%d\" (secret \"pw\")}}",
        "{{printf (secret \"pw\") 1}}",
        "{{$x := secret \"pw\"}}{{$x.Field}}",
        "{{index .Service.Labels (secret \"pw\") 1}}",
    ] {
        let mut assignment = env(&[]);
        with_file(&mut assignment, FileKind::Config, 11, "/c", text);
        with_file(&mut assignment, FileKind::Secret, 12, "pw", "hunter2 %z");
        let error = expand(&assignment, &place()).unwrap_err().to_string();
        assert!(
            !error.contains("hunter2") && !error.contains('z'),
            "{error}"
        );
    }
}
