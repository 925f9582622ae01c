//! Files over each other, and services over those that they extend.

use super::kit::{stack, web};
use crate::compose::merged;

#[test]
fn a_later_file_is_laid_over_an_earlier_one() {
    let service = web(r#"
command: [one, two]
environment: [A=1, B=1]
labels: {a: "1", b: "1"}
ports: ["8080:80", "53:53/udp"]
volumes: ["./a:/data", "/var/x:/x"]
secrets: [s]
cap_add: [NET_ADMIN]
dns: 1.1.1.1
logging: {driver: json-file, options: {max-size: 1m}}
ulimits: {nofile: 10}
healthcheck: {test: [CMD, one], interval: 1s}
depends_on: [db]
networks: [front]
deploy:
  replicas: 1
  labels: [x=1]
  placement: {constraints: [node.role == manager]}
"#)
    .layer(
        "over.yml",
        r#"
services:
  web:
    command: three
    environment: {B: "2", C: "2"}
    labels: [b=2]
    ports:
      - {target: 80, published: 8080}
      - 81:81
    volumes:
      - {type: bind, source: ./b, target: /data, read_only: true}
    secrets:
      - {source: s, mode: 0400}
    cap_add: [NET_ADMIN, SYS_TIME]
    dns: [1.1.1.1, 8.8.8.8]
    logging: {driver: syslog, options: {tag: x}}
    ulimits: {nofile: {soft: 1, hard: 2}}
    healthcheck: {test: two}
    depends_on: {db: {condition: service_healthy}}
    networks: {front: {aliases: [w]}, back: }
    deploy:
      replicas: 3
      labels: {y: "2"}
      placement: {constraints: [node.labels.a == b]}
  db: {image: db}
networks: {front: , back: }
secrets: {s: {external: true}}
"#,
    )
    .service("web");
    assert_eq!(service.command.unwrap(), ["three"]);
    let environment: Vec<String> = service
        .environment
        .iter()
        .map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(environment, ["A=1", "B=2", "C=2"]);
    assert_eq!((&*service.labels["a"], &*service.labels["b"]), ("1", "2"));
    let ports: Vec<u16> = service.ports.iter().map(|port| port.published).collect();
    assert_eq!(ports, [8080, 53, 81]);
    assert_eq!(service.mounts.len(), 2);
    assert_eq!(service.mounts[0].source, "/srv/app/b");
    assert!(service.mounts[0].read_only);
    assert_eq!((service.secrets.len(), service.secrets[0].mode), (1, 0o400));
    assert_eq!(service.cap_add, ["NET_ADMIN", "SYS_TIME"]);
    assert_eq!(service.dns.nameservers, ["1.1.1.1", "8.8.8.8"]);
    let logging = service.logging.unwrap();
    assert_eq!(
        (logging.name.as_str(), logging.options.len()),
        ("syslog", 1)
    );
    assert_eq!((service.ulimits[0].soft, service.ulimits[0].hard), (1, 2));
    let health = service.healthcheck.unwrap();
    assert_eq!(health.test, ["CMD-SHELL", "two"]);
    assert_eq!(health.interval.unwrap().as_secs(), 1);
    assert_eq!(
        service.networks.keys().collect::<Vec<_>>(),
        ["back", "front"]
    );
    assert_eq!(service.networks["front"].aliases, ["w"]);
    assert_eq!(service.deploy.mode.slots(), Some(3));
    assert_eq!(service.deploy.labels.len(), 2);
    assert_eq!(service.deploy.placement.constraints.len(), 2);
}

#[test]
fn tags_reset_and_override_what_was_said() {
    let service = web(r#"
environment: {A: "1", B: "1"}
ports: ["8080:80"]
dns: [1.1.1.1]
command: one
labels: {a: "1"}
"#)
    .layer(
        "over.yml",
        r#"
services:
  web:
    environment:
      A: !reset null
    ports: !override ["81:81"]
    dns: !reset []
    command: !reset null
    labels: !override
      b: "2"
"#,
    )
    .service("web");
    assert_eq!(service.environment.keys().collect::<Vec<_>>(), ["B"]);
    assert_eq!(service.ports.len(), 1);
    assert_eq!(service.ports[0].published, 81);
    assert!(service.dns.nameservers.is_empty());
    assert_eq!(service.command, None);
    assert_eq!(service.labels.keys().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn what_cannot_be_laid_over_each_other_is_said() {
    let errors =
        web("deploy: {replicas: 1}").layer("over.yml", "services:\n  web:\n    deploy: [1]\n");
    insta::assert_snapshot!(errors.errors(), @r#"
    over.yml:3:13: services.web.deploy: a list cannot be laid over a mapping; `!override` before it replaces what was said
    "#);
}

#[test]
fn a_service_extends_one_of_its_file_and_of_another() {
    let stack = stack(
        r#"
services:
  web:
    extends: {file: common/base.yml, service: app}
    command: web
    ports: !reset []
  worker:
    extends: web
    environment: {ROLE: worker}
"#,
    )
    .file(
        "common/base.yml",
        r#"
services:
  root:
    image: app:${TAG}
    volumes: ["./data:/data"]
    env_file: base.env
  app:
    extends: root
    ports: ["80:80"]
    environment: [ROLE=web]
"#,
    )
    .file("common/base.env", "FROM_FILE=yes\nROLE=no\n")
    .env("TAG", "2");
    let worker = stack.service("worker");
    assert_eq!(worker.image, "app:2");
    assert_eq!(worker.mounts[0].source, "/srv/app/common/data");
    assert_eq!(worker.environment["ROLE"].as_deref(), Some("worker"));
    assert_eq!(worker.environment["FROM_FILE"].as_deref(), Some("yes"));
    assert_eq!(worker.command.unwrap(), ["web"]);
    assert!(worker.ports.is_empty());
    assert_eq!(
        stack.service("web").environment["ROLE"].as_deref(),
        Some("web")
    );
}

#[test]
fn services_that_extend_wrongly_are_named() {
    let wrong = stack(
        r#"
services:
  a: {extends: b}
  b: {extends: c}
  c: {extends: a}
  d: {image: x, extends: none}
  e: {image: x, extends: {file: none.yml, service: x}}
  f: {image: x, extends: {servce: x}}
"#,
    );
    insta::assert_snapshot!(wrong.errors(), @r#"
    stack.yml:3:16: services.a.extends: services extend each other in a circle: b → c → a → b
    stack.yml:4:16: services.b.extends: services extend each other in a circle: c → a → b → c
    stack.yml:5:16: services.c.extends: services extend each other in a circle: a → b → c → a
    stack.yml:6:26: services.d.extends: there is no service "none" to extend
    stack.yml:7:26: services.e.extends: none.yml cannot be read: there is no such file
    stack.yml:8:26: services.f.extends.service: this must name the service to extend
    stack.yml:8:27: services.f.extends.servce: unknown key; did you mean "service"?
    "#);
}

#[test]
fn anchors_and_merge_keys_are_followed() {
    let project = stack(
        r#"
x-env: &env {A: "1", B: "1"}
x-deploy: &deploy
  replicas: 2
services:
  one:
    image: &image nginx
    environment:
      <<: *env
      B: "2"
    deploy: *deploy
  two:
    image: *image
    environment:
      <<: [{B: "3"}, *env]
"#,
    )
    .project();
    assert_eq!(
        project.services["one"].environment["B"].as_deref(),
        Some("2")
    );
    assert_eq!(project.services["one"].deploy.mode.slots(), Some(2));
    assert_eq!(project.services["two"].image, "nginx");
    assert_eq!(
        project.services["two"].environment["A"].as_deref(),
        Some("1")
    );
    assert_eq!(
        project.services["two"].environment["B"].as_deref(),
        Some("3")
    );
}

#[test]
fn several_documents_of_a_file_are_several_files() {
    let stack = stack("services: {web: {image: one}}\n---\nservices: {web: {image: two}}\n");
    assert_eq!(stack.service("web").image, "two");
}

#[test]
fn files_are_shown_as_one_with_their_variables() {
    let stack = web("ports: [\"80:80\"]\ntty: true\nuser: \"1000\"\nenvironment: {A: \"${B:-x}\"}")
        .layer("over.yml", "services: {web: {image: \"nginx:$TAG\"}}");
    insta::assert_snapshot!(merged(&stack.request, &stack).unwrap(), @r#"
    services:
      web:
        environment:
          A: "${B:-x}"
        image: "nginx:$TAG"
        ports:
          - "80:80"
        tty: true
        user: "1000"
    "#);
}

#[test]
fn devices_of_one_node_are_kept_apart() {
    let devices = web("devices: [\"/dev/a:rw\", \"/dev/b:rw\", \"/dev/c:/dev/x\"]")
        .layer(
            "over.yml",
            "services: {web: {devices: [\"/dev/b:r\", {source: /dev/d, target: /dev/x}]}}",
        )
        .service("web")
        .devices;
    let shown: Vec<String> = devices
        .iter()
        .map(|it| format!("{}:{}:{}", it.on_host, it.in_container, it.permissions))
        .collect();
    assert_eq!(
        shown,
        ["/dev/a:/dev/a:rw", "/dev/b:/dev/b:r", "/dev/d:/dev/x:rwm"]
    );
}

#[test]
fn a_check_and_its_being_disabled_replace_each_other() {
    let over = |lines: &str| format!("services:\n  web:\n    healthcheck: {lines}\n");
    let checked = web("healthcheck: {test: [CMD, one], interval: 1s}");
    let disabled = checked.clone().layer("over.yml", &over("{disable: true}"));
    let health = disabled.service("web").healthcheck.unwrap();
    assert_eq!(health.test, ["NONE"]);
    let again = disabled.layer("again.yml", &over("{test: two}"));
    let health = again.service("web").healthcheck.unwrap();
    assert_eq!(health.test, ["CMD-SHELL", "two"]);
    assert_eq!(health.interval.unwrap().as_secs(), 1);
    let kept = checked.layer("over.yml", &over("{disable: false}"));
    let health = kept.service("web").healthcheck.unwrap();
    assert_eq!(health.test, ["CMD", "one"]);
    // Of a base that it extends, too; but not said at once.
    let extends = stack(
        "services:\n  base: {image: x, healthcheck: {test: y}}\n  \
         web: {extends: base, healthcheck: {disable: true}}\n",
    );
    assert_eq!(extends.service("web").healthcheck.unwrap().test, ["NONE"]);
    insta::assert_snapshot!(web("healthcheck: {test: x, disable: true}").errors(), @"stack.yml:4:28: services.web.healthcheck.disable: a check that has a `test` cannot be disabled, too");
}

#[test]
fn hosts_are_merged_by_their_names_and_in_lists_added() {
    let hosts = |base: &str, over: &str| {
        let over = format!("services: {{web: {{extra_hosts: {over}}}}}");
        let stack = web(&format!("extra_hosts: {base}"));
        stack.layer("over.yml", &over).service("web").hosts
    };
    assert_eq!(
        hosts(
            "{a: 1.1.1.1, b: [2.2.2.2, 3.3.3.3]}",
            "{a: 4.4.4.4, c: host-gateway}"
        ),
        ["4.4.4.4 a", "2.2.2.2 b", "3.3.3.3 b", "host-gateway c"]
    );
    assert_eq!(
        hosts("{a: 1.1.1.1, b: \"::1\"}", "[\"a=1.1.1.1\", \"a=2.2.2.2\"]"),
        ["1.1.1.1 a", "::1 b", "2.2.2.2 a"]
    );
    assert_eq!(
        hosts("[\"a:1.1.1.1\"]", "{b: 2.2.2.2}"),
        ["1.1.1.1 a", "2.2.2.2 b"]
    );
    let no_name = web("extra_hosts: {\"a=b\": 1.1.1.1}").errors();
    assert!(
        no_name.contains("\"a=b\" is no name of a host"),
        "{no_name}"
    );
}

#[test]
fn files_are_named_by_variables() {
    let stack = stack(
        "include: [\"${PART}/a.yml\"]\nservices:\n  web:\n    image: \"x:$TAG\"\n    \
         extends: {file: \"$PART/b.yml\", service: \"${PART}\"}\n",
    )
    .file("site/a.yml", "services: {db: {image: \"db:$TAG\"}}")
    .file(
        "site/b.yml",
        "services: {site: {image: y, user: \"$USER\"}}",
    )
    .env("PART", "site")
    .env("TAG", "1")
    .env("USER", "me");
    let project = stack.project();
    assert_eq!(project.services["db"].image, "db:1");
    assert_eq!(project.services["web"].user.as_deref(), Some("me"));
    // Where they are needed to find a file, and nowhere else.
    insta::assert_snapshot!(merged(&stack.request, &stack).unwrap(), @r#"
    services:
      db:
        image: "db:$TAG"
      web:
        image: "x:$TAG"
        user: "$USER"
    "#);
}
