use super::*;
use crate::spec::{Mode, Mount, MountKind, Placement, PortSpec, Protocol, Resources};
use proptest::prelude::*;

fn web() -> ServiceSpec {
    let mut spec = ServiceSpec {
        name: "web".to_owned(),
        ..ServiceSpec::default()
    };
    spec.task.container.image = "nginx:1".to_owned();
    spec
}

/// `edit` of an accepted spec must be refused so.
fn check(kind: RefusalKind, message: &str, edit: impl FnOnce(&mut ServiceSpec)) {
    let mut spec = web();
    assert_eq!(validate_service(&spec), Ok(()));
    edit(&mut spec);
    assert_eq!(validate_service(&spec), Err(kind.because(message)));
}

fn check_invalid(message: &str, edit: impl FnOnce(&mut ServiceSpec)) {
    check(RefusalKind::InvalidArgument, message, edit);
}

fn mount(target: &str) -> Mount {
    Mount {
        kind: MountKind::Tmpfs,
        source: String::new(),
        target: target.to_owned(),
        read_only: false,
        consistency: None,
        bind: None,
        volume: None,
        tmpfs: None,
    }
}

fn port(published: u16, mode: PublishMode) -> PortSpec {
    PortSpec {
        name: None,
        protocol: Protocol::Tcp,
        target: 80,
        published,
        mode,
        host_ip: None,
    }
}

fn reserve(spec: &mut ServiceSpec, amounts: ResourceAmounts) {
    spec.task.resources = Some(Resources {
        limits: None,
        reservations: Some(amounts),
    });
}

fn publish(spec: &mut ServiceSpec, ports: Vec<PortSpec>) {
    spec.endpoint = Some(EndpointSpec {
        ports,
        ..EndpointSpec::default()
    });
}

#[test]
fn names_are_dns_components() {
    let dns = "name must be valid as a DNS name component";
    check_invalid(dns, |spec| spec.name = "a b".to_owned());
    check_invalid(dns, |spec| spec.name = "-web".to_owned());
    check_invalid(dns, |spec| spec.name = "web.1".to_owned());
    check_invalid("name must be 63 characters or fewer", |spec| {
        spec.name = "a".repeat(64);
    });
    let stack = ServiceSpec {
        name: "shop_web-2".to_owned(),
        ..web()
    };
    assert_eq!(validate_service(&stack), Ok(()));
}

#[test]
fn an_image_is_needed_and_must_be_a_reference() {
    check_invalid("ContainerSpec: image reference must be provided", |spec| {
        spec.task.container.image.clear();
    });
    check_invalid(
        "ContainerSpec: \"BAD IMAGE\" is not a valid repository/tag",
        |spec| spec.task.container.image = "BAD IMAGE".to_owned(),
    );
}

#[test]
fn image_references_follow_the_grammar() {
    let hex = "0123456789abcdef".repeat(4);
    let good = [
        "busybox",
        "library/busybox:1.36",
        "ghcr.io/a/b_c__d-e.f:v1.0-rc_1",
        "localhost:5000/x",
        "[fd00::1]:5000/x/y",
        "Registry/x",
        &format!("nginx:1@sha256:{hex}"),
    ];
    let bad = [
        "",
        "Busybox",
        "a//b",
        "a/",
        "x:",
        "x:.1",
        "x@sha256:12",
        "a___b",
        "_a",
        "re gistry.io/x",
        "host:port/x",
        &hex,
    ];
    assert!(good.iter().all(|it| image::is_reference(it)), "{good:?}");
    for text in bad {
        assert!(!image::is_reference(text), "{text}");
    }
}

#[test]
fn reservations_have_a_minimum() {
    check_invalid("invalid cpu value 1e-09: Must be at least 0.001", |spec| {
        reserve(
            spec,
            ResourceAmounts {
                nano_cpus: 1,
                ..ResourceAmounts::default()
            },
        );
    });
    check_invalid("invalid cpu value 0.0005: Must be at least 0.001", |spec| {
        reserve(
            spec,
            ResourceAmounts {
                nano_cpus: 500_000,
                ..ResourceAmounts::default()
            },
        );
    });
    check_invalid("invalid memory value 100: Must be at least 4MiB", |spec| {
        reserve(
            spec,
            ResourceAmounts {
                memory_bytes: 100,
                ..ResourceAmounts::default()
            },
        );
    });
}

#[test]
fn replicas_have_a_maximum() {
    check_invalid("replicas cannot be more than 100000", |spec| {
        spec.mode = Mode::Replicated {
            replicas: Some(100_001),
        };
    });
}

#[test]
fn jobs_have_a_maximum_and_no_update_config() {
    let job = |total_completions| Mode::ReplicatedJob {
        max_concurrent: 1,
        total_completions,
    };
    check_invalid("completions cannot be more than 100000", |spec| {
        spec.mode = job(100_001);
    });
    for mode in [job(1), Mode::GlobalJob] {
        check_invalid("Jobs may not have an update config", |spec| {
            spec.mode = mode;
            spec.update = Some(UpdateConfig::default());
        });
    }
}

#[test]
fn a_mount_point_is_used_once() {
    check_invalid("ContainerSpec: duplicate mount point: /a", |spec| {
        spec.task.container.mounts = vec![mount("/a"), mount("/b"), mount("/a")];
    });
}

#[test]
fn a_bad_constraint_is_of_unknown_kind_as_in_docker() {
    check(
        RefusalKind::Unknown,
        "constraint expected one operator from ==, !=",
        |spec| {
            spec.task.placement = Some(Placement {
                constraints: vec!["node.role=manager".to_owned()],
                ..Placement::default()
            });
        },
    );
}

#[test]
fn a_failure_ratio_is_a_ratio() {
    let text = "TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1";
    for ratio in [-0.1, 1.1, f64::NAN] {
        check_invalid(text, |spec| {
            spec.update = Some(UpdateConfig {
                max_failure_ratio: ratio,
                ..UpdateConfig::default()
            });
        });
    }
}

#[test]
fn ports_are_published_once_and_on_the_host_only() {
    check_invalid("EndpointSpec: duplicate published ports provided", |spec| {
        publish(
            spec,
            vec![port(80, PublishMode::Host), port(80, PublishMode::Host)],
        );
    });
    check_invalid(
        "EndpointSpec: port published with ingress mode can't be used with dnsrr mode",
        |spec| {
            spec.endpoint = Some(EndpointSpec {
                mode: Some(EndpointMode::Dnsrr),
                ports: vec![port(80, PublishMode::Ingress)],
                ..EndpointSpec::default()
            });
        },
    );
    let mut ingress = web();
    publish(&mut ingress, vec![port(80, PublishMode::Ingress)]);
    assert_eq!(validate_service(&ingress), Ok(()));
    let mut dynamic = web();
    publish(
        &mut dynamic,
        vec![port(0, PublishMode::Host), port(0, PublishMode::Host)],
    );
    assert_eq!(validate_service(&dynamic), Ok(()));
}

proptest! {
    #[test]
    fn any_image_and_name_is_judged(image: String, name: String) {
        let mut spec = web();
        spec.task.container.image = image;
        spec.name = name;
        let _ = validate_service(&spec);
    }
}

fn check_file(kind: FileKind, name: &str, size: usize, expected: Result<(), &str>) {
    let spec = crate::testing::file(name, &vec![b'x'; size]);
    let expected = expected.map_err(|text| RefusalKind::InvalidArgument.because(text));
    assert_eq!(validate_file(kind, &spec), expected, "{name} {size}");
}

#[test]
fn secrets_and_configs_have_docker_s_names_and_sizes() {
    use FileKind::{Config, Secret};
    let name = Err(
        "invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end \
                    character must be [a-zA-Z0-9]",
    );
    check_file(Secret, "", 1, Err("name must be provided"));
    for bad in ["a b", "-a", "a.", "_", "ä", &"a".repeat(65)] {
        check_file(Config, bad, 1, name);
    }
    for good in ["a", "a.b-c_d.9", &"a".repeat(64)] {
        check_file(Secret, good, 1, Ok(()));
    }
    let size = Err("secret data must be larger than 0 and less than 512000 bytes");
    check_file(Secret, "s", 0, size);
    check_file(Secret, "s", 511_999, Ok(()));
    check_file(Secret, "s", 512_000, size);
    let size = Err("config data must be larger than 0 and less than 1024000 bytes");
    check_file(Config, "c", 1_023_999, Ok(()));
    check_file(Config, "c", 1_024_000, size);
}

#[test]
fn references_have_a_name_and_a_target_of_their_own() {
    let refer = |names: &[(&str, &str)]| {
        let reference = |(name, target): &(&str, &str)| crate::file::FileReference {
            name: (*name).to_owned(),
            target: (*target).to_owned(),
            ..Default::default()
        };
        names.iter().map(reference).collect::<Vec<_>>()
    };
    check_invalid("malformed secret reference", |spec| {
        spec.task.container.secrets = refer(&[("", "t")]);
    });
    check_invalid(
        "malformed file config reference, invalid target file name provided",
        |spec| spec.task.container.configs = refer(&[("c", "")]),
    );
    check_invalid(
        "secret references 'a' and 'b' have a conflicting target: 't'",
        |spec| spec.task.container.secrets = refer(&[("a", "t"), ("c", "u"), ("b", "t")]),
    );
}

#[test]
fn a_path_is_given_to_one_mount_or_file() {
    let refer = |target: &str| {
        let reference = crate::file::FileReference {
            name: "f".to_owned(),
            target: target.to_owned(),
            ..Default::default()
        };
        vec![reference]
    };
    let text = "ContainerSpec: duplicate mount point: /run/secrets/x";
    check_invalid(text, |spec| {
        spec.task.container.secrets = [refer("x"), refer("/run/secrets/x")].concat();
    });
    check_invalid("ContainerSpec: duplicate mount point: /./a", |spec| {
        spec.task.container.configs = [refer("a"), refer("./a")].concat();
    });
    check_invalid("ContainerSpec: duplicate mount point: /a//b", |spec| {
        spec.task.container.secrets = refer("/a/b");
        spec.task.container.configs = refer("a//b");
    });
    check_invalid("ContainerSpec: duplicate mount point: /b/../a", |spec| {
        spec.task.container.mounts = vec![mount("/a/")];
        spec.task.container.configs = refer("b/../a");
    });
    let mut spec = web();
    spec.task.container.mounts = vec![mount("/a")];
    spec.task.container.secrets = [refer("a"), refer("b")].concat();
    spec.task.container.configs = [refer("/a/b"), refer("b")].concat();
    assert_eq!(validate_service(&spec), Ok(()));
}

#[test]
fn references_have_a_limit() {
    let refer = |count: usize| {
        let reference = |number: usize| crate::file::FileReference {
            name: "c".to_owned(),
            target: number.to_string(),
            ..Default::default()
        };
        (0..count).map(reference).collect::<Vec<_>>()
    };
    let mut spec = web();
    spec.task.container.configs = refer(500);
    assert_eq!(validate_service(&spec), Ok(()));
    let text = "ContainerSpec: a service cannot have more than 500 configs";
    check_invalid(text, |spec| spec.task.container.configs = refer(501));
    let text = "ContainerSpec: a service cannot have more than 500 secrets";
    check_invalid(text, |spec| spec.task.container.secrets = refer(501));
}

#[test]
fn placeholders_that_mean_nothing_are_refused() {
    let env = |text: &str| {
        let entry = format!("A={text}");
        move |spec: &mut ServiceSpec| spec.task.container.env = vec![entry]
    };
    check_invalid(
        "expanding env \"A={{.Task.Nope}}\" failed: template: expansion:1: can't evaluate field \
         Nope",
        env("{{.Task.Nope}}"),
    );
    check_invalid(
        "expanding env \"A={{\" failed: template: expansion:1: unclosed action",
        env("{{"),
    );
    let mut spec = web();
    env("{{.Node.Hostname}}.{{.Task.Slot}}")(&mut spec);
    assert_eq!(validate_service(&spec), Ok(()));
}

#[test]
fn only_templates_that_can_be_read_are_accepted() {
    let check = |driver: &str, data: &str, expected: Result<(), &str>| {
        let mut spec = crate::testing::file("f", data.as_bytes());
        let content = std::sync::Arc::make_mut(&mut spec.content);
        content.templating = Some(crate::spec::Driver {
            name: driver.to_owned(),
            ..Default::default()
        });
        let outcome = validate_file(FileKind::Config, &spec);
        assert_eq!(
            outcome.map_err(|refusal| refusal.message),
            expected.map_err(str::to_owned)
        );
    };
    check(
        "golang",
        "{{secret \"s\"}} {{env \"E\"}} {{.Node.ID}}",
        Ok(()),
    );
    check(
        "golang",
        "{{if true}}",
        Err("failed to expand templated config f: template: expansion:1: unexpected EOF"),
    );
    let text = "template driver \"jinja\" is not supported; the only one is \"golang\"";
    check("jinja", "x", Err(text));
}
