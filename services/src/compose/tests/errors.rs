//! What is wrong in files, where, and what to do.

use super::kit::{Stack, stack, web};
use crate::compose::{MAX_FILE, MAX_FILES, Request, load};

#[test]
fn an_unknown_key_is_an_error_with_the_nearest_one() {
    let wrong = stack(
        r#"
services:
  web:
    imgae: nginx
    image: nginx
    enviroment: {A: 1}
    deploy: {replcas: 2}
    x-own: fine
    healthcheck: {test: x, Interval: 3s}
  db:
    image: db
    unheard_of: 1
servces: {}
"#,
    );
    insta::assert_snapshot!(wrong.errors(), @r#"
    stack.yml:4:5: services.web.imgae: unknown key; did you mean "image"?
    stack.yml:6:5: services.web.enviroment: unknown key; did you mean "environment"?
    stack.yml:7:14: services.web.deploy.replcas: unknown key; did you mean "replicas"?
    stack.yml:9:28: services.web.healthcheck.Interval: unknown key; did you mean "interval"?
    stack.yml:12:5: services.db.unheard_of: unknown key
    stack.yml:13:1: servces: unknown key; did you mean "services"?
    "#);
}

#[test]
fn every_mistake_is_named_at_its_place() {
    let wrong = stack(
        r#"
services:
  web:
    image: [nginx]
    ports: ["80:x", {published: 80}, {target: 99999}, 8080:80, 8080:81]
    volumes: ["a", "/x:y", "d:/d:wrong", {type: npipe, target: /x}, {type: bind, target: /x}]
    environment: 5
    deploy:
      mode: many
      replicas: -1
      update_config: {delay: 10, order: random, max_failure_ratio: 2}
      resources: {limits: {cpus: two, memory: lots}}
      placement: {constraints: [nonsense]}
    healthcheck: {test: [curl, x], disable: maybe}
    command: "echo 'x"
    stop_grace_period: soon
    tty: perhaps
    secrets: [none, {target: x}]
    networks: [none]
    dns: nowhere
    extra_hosts: [x]
    ulimits: {nofile: {soft: 2, hard: 1}}
    devices: [tty, "vendor.com/gpu=0"]
    pid: "container:x"
  db:
  "a b": {image: x}
networks:
  n: {ipam: {config: [{subnet: 10.0.0.0}]}}
secrets:
  s: {}
  t: {content: x}
  u: {environment: UNSET}
configs:
  c: {file: a, content: b}
"#,
    );
    insta::assert_snapshot!(wrong.errors(), @r#"
    stack.yml:4:12: services.web.image: this must be a text, not a list
    stack.yml:5:13: services.web.ports[0]: invalid port: "x"
    stack.yml:5:21: services.web.ports[1]: `target` must say which port of the container is published
    stack.yml:5:47: services.web.ports[2].target: "99999" is no number from 1 to 65535
    stack.yml:5:64: services.web.ports[4]: port 8080 is published already, for 80 of the container
    stack.yml:6:5: services.web.volumes: "d" is not there: name it under the top-level `volumes`
    stack.yml:6:15: services.web.volumes[0]: "a" is no path within the container: write [source:]/target[:options]
    stack.yml:6:20: services.web.volumes[1]: "y" is no path within the container: write [source:]/target[:options]
    stack.yml:6:28: services.web.volumes[2]: unknown option "wrong": there are ro, rw, nocopy, z and the propagations of bind mounts
    stack.yml:6:49: services.web.volumes[3].type: "npipe" is none of volume, bind, tmpfs
    stack.yml:6:69: services.web.volumes[4].source: a bind mount needs the path on the node
    stack.yml:7:18: services.web.environment: this must be a mapping or a list, not a single value
    stack.yml:9:13: services.web.deploy.mode: "many" is none of replicated, global, replicated-job, global-job
    stack.yml:10:17: services.web.deploy.replicas: "-1" is no number from 0 to 4294967295
    stack.yml:11:30: services.web.deploy.update_config.delay: missing unit in duration "10" (ns, us, ms, s, m or h)
    stack.yml:11:41: services.web.deploy.update_config.order: "random" is none of stop-first, start-first
    stack.yml:11:68: services.web.deploy.update_config.max_failure_ratio: "2" is no number from 0 to 1
    stack.yml:12:34: services.web.deploy.resources.limits.cpus: failed to parse two as a rational number
    stack.yml:12:47: services.web.deploy.resources.limits.memory: invalid suffix: 'lots'
    stack.yml:13:33: services.web.deploy.placement.constraints[0]: constraint expected one operator from ==, !=
    stack.yml:14:25: services.web.healthcheck.test: "curl" must be NONE, CMD or CMD-SHELL, and the command follow it
    stack.yml:14:45: services.web.healthcheck.disable: "maybe" is neither true nor false
    stack.yml:15:14: services.web.command: a quote (') is not closed
    stack.yml:16:24: services.web.stop_grace_period: unknown unit "soon" in duration "soon" (ns, us, ms, s, m or h)
    stack.yml:17:10: services.web.tty: "perhaps" is neither true nor false
    stack.yml:18:5: services.web.secrets: "none" is not there: name it under the top-level `secrets`
    stack.yml:18:21: services.web.secrets[1]: `source` must say which one it is
    stack.yml:19:5: services.web.networks: "none" is not there: name it under the top-level `networks`
    stack.yml:20:10: services.web.dns: "nowhere" is no IP address
    stack.yml:21:19: services.web.extra_hosts[0]: "x" is no name=address
    stack.yml:22:23: services.web.ulimits.nofile: the soft limit 2 is above the hard one, 1
    stack.yml:23:15: services.web.devices[0]: "tty" is no absolute path
    stack.yml:23:20: services.web.devices[1]: "vendor.com/gpu=0" is a CDI name, which is not supported: name the device by its path
    stack.yml:24:10: services.web.pid: only `host` is possible: tasks of a swarm have no containers beside them
    stack.yml:25:5: services.db: this must be a mapping, not nothing
    stack.yml:26:10: services.a b: "a b" is no name here: letters, digits, -, _ and .
    stack.yml:28:32: networks.n.ipam.config[0].subnet: "10.0.0.0" is no network, as 10.1.0.0/24 is one
    stack.yml:30:6: secrets.s: one of `file`, `environment` and `external: true` says where it is
    stack.yml:31:16: secrets.t.content: the content of a secret does not stand in a file: use `file` or `environment`
    stack.yml:32:20: secrets.u.environment: the variable UNSET is not set
    stack.yml:34:6: configs.c: one of `file`, `content`, `environment` and `external: true` says where it is
    "#);
}

#[test]
fn what_a_swarm_cannot_do_is_refused_with_what_to_do_instead() {
    let wrong = stack(
        r#"
services:
  web:
    build: .
    volumes_from: [db]
    network_mode: service:db
    memswap_limit: 1g
    credential_spec: {file: x}
  none: {tty: true}
"#,
    );
    insta::assert_snapshot!(wrong.errors(), @r#"
    stack.yml:4:5: services.web.build: a swarm builds nothing: build the image, push it to a registry that every node reaches, and name it by `image`
    stack.yml:5:5: services.web.volumes_from: this is not possible in a swarm: name a volume under the top-level `volumes`, and mount it in both services
    stack.yml:6:5: services.web.network_mode: "service:db" is not possible in a swarm: host, none, or `networks` that both are on
    stack.yml:7:5: services.web.memswap_limit: this is not possible in a swarm: limit the memory by deploy.resources.limits.memory
    stack.yml:8:5: services.web.credential_spec: this is not possible in a swarm: it is for Windows, on which swarmlet does not run
    stack.yml:9:9: services.none: `image` must say what it runs
    "#);
}

#[test]
fn names_of_what_is_not_there_are_refused() {
    let wrong = stack(
        r#"
services:
  web:
    image: x
    networks: [frnt]
    volumes: ["data:/data"]
    secrets: [token]
    depends_on: [db, web, tools]
  a: {image: x, depends_on: [b]}
  b: {image: x, depends_on: [a]}
  tools: {image: x, profiles: [tools]}
networks: {front: }
"#,
    );
    insta::assert_snapshot!(wrong.errors(), @r#"
    stack.yml:3:3: services: these depend on each other in a circle, or on such: a, b, web
    stack.yml:5:5: services.web.networks: "frnt" is not there: did you mean "front"?
    stack.yml:6:5: services.web.volumes: "data" is not there: name it under the top-level `volumes`
    stack.yml:7:5: services.web.secrets: "token" is not there: name it under the top-level `secrets`
    stack.yml:8:5: services.web.depends_on: there is no service "db"
    stack.yml:8:5: services.web.depends_on: "tools" is left out by its profiles: turn one of them on with --profile, or say `required: false`
    stack.yml:8:5: services.web.depends_on: a service does not depend on itself
    "#);
}

#[test]
fn what_is_no_yaml_is_refused_at_its_place() {
    let shown: Vec<String> = [
        "services: [",
        "services:\n  web: {image: a}\n  web: {image: b}\n",
        "a: *b\n",
        "services: !wrong {}\n",
        "? [a]\n: b\n",
        "x: &x {<<: 5}\n",
        "",
        "- a\n",
        "# nothing\n",
        "services:\n\tweb: x\n",
        "services: {}\nname: Shop\n",
        "name: shop\n",
        "services: {web: {image: \"$\"}}",
    ]
    .iter()
    .map(|text| stack(text).errors())
    .collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    stack.yml:1:11: this is no YAML: unclosed bracket '['
    stack.yml:3:3: "web" is there already, in line 2
    stack.yml:1:4: this is no YAML: while parsing node, found unknown anchor
    stack.yml:1:18: unknown tag !wrong: there are !reset and !override
    stack.yml:1:3: a key must be a text
    stack.yml:1:12: `<<` takes a mapping or a list of them
    stack.yml: the file is empty: a project has at least `services`
    stack.yml:1:1: a project is a mapping, not a list
    stack.yml: the file is empty: a project has at least `services`
    stack.yml:2:2: this is no YAML: tabs disallowed within this context (block indentation)
    stack.yml:2:7: name: "Shop" is no name of a project: lower case letters, digits, - and _
    stack.yml:1:1: services: a project has at least one service
    stack.yml:1:25: services.web.image: invalid interpolation format in "$": a "$" must be followed by a variable; one that is text is "$$"
    "#);
}

#[test]
fn nothing_that_is_not_there_passes_for_an_empty_project() {
    let shown: Vec<String> = [
        "services:",
        "services: {}",
        "services: {web: {image: x, extends: {file: a.yml, service: x}}}",
        "include: [{path: []}]\nservices: {}",
        "include: [a.yml]\nservices: {web: {image: x}}",
        "include: a.yml\nservices: {web: {image: x}}",
        "services: []",
    ]
    .iter()
    .map(|text| {
        let stack = stack(text).file("a.yml", "servces: {x: {image: x}}");
        match load(&stack.request, &stack) {
            Ok(loaded) => format!("{} services", loaded.project.services.len()),
            Err(problems) => problems.to_string(),
        }
    })
    .collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    stack.yml:1:1: services: a project has at least one service
    0 services
    stack.yml:1:37: services.web.extends: a.yml has no services
    stack.yml:1:12: include[0].path: this must name the file to include
    a.yml:1:1: servces: unknown key; did you mean "services"?
    stack.yml:1:10: include: this must be a list, not a single value
    stack.yml:1:11: services: this must be a mapping, not a list
    "#);
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let mut missing = Stack::default();
    missing.request.files.push("none.yml".into());
    insta::assert_snapshot!(missing.errors(), @r#"
    none.yml: there is no such file
    "#);
    insta::assert_snapshot!(
        load(&Request::default(), &Stack::default()).unwrap_err().to_string(),
        @r#"
    no Compose file was named
    "#
    );
    let large = stack("").file("stack.yml", vec![b'#'; MAX_FILE + 1]);
    insta::assert_snapshot!(large.errors(), @r#"
    stack.yml: the file has more than 1048576 bytes
    "#);
    let binary = stack("").file("stack.yml", [0xff, 0xfe, 0x00]);
    insta::assert_snapshot!(binary.errors(), @r#"
    stack.yml: it is not text in UTF-8
    "#);
}

#[test]
fn a_small_file_does_not_grow_without_bound() {
    let mut laughs = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for level in 1..12 {
        let before = format!("*a{}, ", level - 1).repeat(9);
        laughs.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    insta::assert_snapshot!(stack(&laughs).errors(), @r#"
    stack.yml:6:9: the project grows too large: look at its aliases, variables and `extends`
    "#);
    let deep = format!("a: {}", "[".repeat(10_000));
    insta::assert_snapshot!(stack(&deep).errors(), @r#"
    stack.yml:1:52: this is no YAML: recursion limit exceeded
    "#);
    let mut chain = String::from("a0: &a0 [x]\n");
    for level in 1..100 {
        chain.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    insta::assert_snapshot!(stack(&chain).errors(), @r#"
    stack.yml:48:12: more than 48 levels are within each other
    "#);
}

#[test]
fn what_extends_and_includes_multiply_is_bounded() {
    let mut text = format!(
        "services:\n  base: {{image: x, labels: {{a: {}}}}}\n",
        "x".repeat(500_000)
    );
    for service in 0..200 {
        text.push_str(&format!("  s{service}: {{extends: base}}\n"));
    }
    let errors = stack(&text).errors();
    assert!(errors.contains("the project grows too large"), "{errors}");
    let mut stack = stack("include: [f0.yml]\nservices: {}");
    for file in 0..10 {
        let next = format!("f{}.yml", file + 1);
        let text = format!("include: [{next}, {next}, {next}]\nservices: {{}}");
        stack = stack.file(&format!("f{file}.yml"), text);
    }
    let stack = stack.file("f10.yml", "services: {}");
    let errors = stack.errors();
    assert!(errors.contains("the project grows too large"), "{errors}");
    let names: Vec<String> = (0..=MAX_FILES).map(|at| format!("e{at}")).collect();
    let mut many = web(&format!("env_file: [{}]", names.join(", ")));
    for name in &names {
        many = many.file(name, "A=1");
    }
    let errors = many.errors();
    assert!(
        errors.contains(&format!("more than {MAX_FILES} files")),
        "{errors}"
    );
}

#[test]
fn only_so_many_mistakes_are_shown() {
    let lines: String = (0..100).map(|at| format!("wrong_{at}: 1\n")).collect();
    let errors = web(&lines).errors();
    assert_eq!(errors.lines().count(), 50);
    assert!(errors.ends_with("(and 50 more problems)"), "{errors}");
}

#[test]
fn what_files_make_of_few_letters_is_bounded() {
    let too_large = |errors: String| {
        assert!(errors.contains("the project grows too large"), "{errors}");
    };
    let mut ports = String::from("x-p: &p [\"1-9000:1-9000\"]\nservices:\n");
    let mut variables = String::from("services:\n");
    for service in 0..500 {
        ports.push_str(&format!("  s{service}: {{image: a, ports: *p}}\n"));
        variables.push_str(&format!("  s{service}: {{image: a, env_file: e.env}}\n"));
    }
    too_large(stack(&ports).errors());
    let value = "x".repeat(100_000);
    let stacked = stack(&variables).file("e.env", format!("A={value}\nB=$A$A$A\n"));
    too_large(stacked.errors());
    let documents = "---\nservices: {}\n".repeat(65);
    insta::assert_snapshot!(stack(&documents).errors(), @r#"
    stack.yml:130:1: a file has at most 64 documents
    "#);
    let name = "n".repeat(2000);
    insta::assert_snapshot!(web(&format!("labels: {{? {name} : x}}")).errors(), @r#"stack.yml:4:16: a key has at most 1000 bytes"#);
    insta::assert_snapshot!(web(&format!("labels: [{name}=x]")).errors(), @r#"stack.yml:4:14: services.web.labels[0]: a name has 1 to 1000 bytes"#);
    insta::assert_snapshot!(web("ports: [1-65535]").errors(), @r#"stack.yml:4:13: services.web.ports[0]: a range has at most 10000 ports: 1-65535"#);
}

#[test]
fn files_are_counted_once() {
    let mut text = String::from("services:\n");
    for service in 0..300 {
        text.push_str(&format!("  s{service}: {{image: a, env_file: e.env}}\n"));
    }
    let project = stack(&text).file("e.env", "A=1\n").project();
    assert_eq!(project.services.len(), 300);
}
