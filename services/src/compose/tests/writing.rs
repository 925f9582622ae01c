//! Projects as files again.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::{Strategy, any};

use super::kit::{stack, web};

#[test]
fn texts_that_yaml_would_read_as_something_else_come_back() {
    let service = web(r#"
environment:
  A: "true"
  B: "1.10"
  C: "${D}"
  E: "$$x ${F:-#}"
  G: "line\nother\t\u0085"
  "H: {": "- x"
  I: ""
  J:
  K: 0440
  L: 1.10
command: ["", "~", "null", "&a", "*b", "!c", "%d", "@e", "`f"]
labels: {"x-label": y, "a.b/c": "{{ .x }}"}
"#)
    .env("D", "$dollar ${X}")
    .service("web");
    assert_eq!(service.environment["C"].as_deref(), Some("$dollar ${X}"));
    assert_eq!(service.environment["E"].as_deref(), Some("$x #"));
    assert_eq!(service.environment["J"], None);
    // As they are written, not as YAML counts them.
    assert_eq!(service.environment["K"].as_deref(), Some("0440"));
    assert_eq!(service.environment["L"].as_deref(), Some("1.10"));
    assert_eq!(service.labels["x-label"], "y");
}

#[test]
fn everything_of_a_project_comes_back() {
    let project = stack(
        r#"
name: shop
services:
  web:
    image: nginx
    healthcheck: {test: x, interval: 90s, timeout: 1500ms, start_period: 1us, retries: 0}
    stop_grace_period: 0s
    logging: {options: {a: b}}
    isolation: default
    configs: [{source: c, target: /etc/c, uid: "1000", gid: "1000", mode: 0400}]
    deploy:
      replicas: 0
      update_config: {}
      rollback_config: {parallelism: 0, monitor: 5s}
      restart_policy: {}
      resources: {limits: {cpus: 0.001}}
networks:
  default:
    name: shared
    driver: overlay
    driver_opts: {encrypted: ""}
    internal: true
    enable_ipv6: true
    labels: [a=b]
    ipam:
      driver: default
      config:
        - subnet: fd00::/64
          ip_range: fd00::/80
          gateway: "fd00::1"
          aux_addresses: {a: "fd00::2"}
  old: {external: {name: older}}
volumes:
  v: {name: v2, driver: local, driver_opts: {type: nfs}}
  e: {external: true}
configs:
  c: {content: "a: $$b\n", labels: {x: y}, template_driver: golang}
secrets:
  s: {file: ./s, name: s2}
"#,
    )
    .project();
    assert_eq!(project.name.as_deref(), Some("shop"));
    assert_eq!(project.networks["old"].name.as_deref(), Some("older"));
    assert_eq!(project.volumes["e"].name.as_deref(), Some("e"));
    assert!(project.services["web"].deploy.restart.is_some());
}

/// Each of another key, so that any of them may stand beside each other.
const LINES: [&str; 34] = [
    "command: [a, \"b c\"]",
    "entrypoint: []",
    "hostname: \"{{.Node.Hostname}}\"",
    "user: 1000:1000",
    "working_dir: /w",
    "group_add: [a]",
    "tty: true",
    "stdin_open: true",
    "read_only: true",
    "init: false",
    "volumes: [\"data:/d:nocopy\", \"./x:/x:ro,rslave\", /anonymous]",
    "tmpfs: /t:size=1k,mode=1777",
    "stop_signal: SIGTERM",
    "stop_grace_period: 1h2m3.5s",
    "healthcheck: {test: \"a $$b\", timeout: 1ms, retries: 3}",
    "logging: {driver: syslog, options: {tag: \"{{.Name}}\"}}",
    "extra_hosts: [a=1.1.1.1, \"a:::1\"]",
    "dns: [1.1.1.1]",
    "sysctls: {net.a: 1}",
    "cap_drop: [ALL]",
    "ulimits: {nofile: 5, core: {soft: 0, hard: -1}}",
    "oom_score_adj: 10",
    "networks: {default: {aliases: [x, y], ipv4_address: 10.0.0.9, driver_opts: {a: b}}}",
    "ports: [\"80-82:80-82/udp\", \"[::1]:90:90\", {target: 5, mode: host, name: n}]",
    "secrets: [s, {source: s, target: /t, uid: \"5\", mode: 0400}]",
    "configs: [c]",
    "depends_on: {db: {condition: service_healthy, restart: true}}",
    "devices: [/dev/a:/dev/b:r]",
    "gpus: all",
    "security_opt: [no-new-privileges:true]",
    "shm_size: 1.5g",
    "ipc: host",
    "platform: linux/arm64",
    "deploy: {mode: replicated-job, replicas: 3, resources: {limits: {cpus: 0.123456789}}, \
     restart_policy: {delay: 0s, window: 1us}, update_config: {max_failure_ratio: 0.1}}",
];
const REST: &str = "  db: {image: db}\nvolumes: {data: }\nsecrets: {s: {file: s}}\n\
                    configs: {c: {content: \"$$\"}}\n";

proptest::proptest! {
    #[test]
    fn what_is_written_loads_again(
        mask in proptest::collection::vec(proptest::bool::ANY, LINES.len()),
        texts in proptest::collection::btree_map("[A-Za-z_.:# -]{1,8}", "\\PC{0,12}|[ -~\n\t\r]{0,12}", 0..6),
    ) {
        let chosen = LINES.iter().zip(mask).filter(|(_, is_chosen)| *is_chosen);
        let mut lines: String = chosen.map(|(line, _)| format!("    {line}\n")).collect();
        let json = |text: &str| serde_json::to_string(&text.replace('$', "$$")).unwrap();
        let pairs = texts.iter().map(|(name, value)| format!("{}: {}", serde_json::to_string(name).unwrap(), json(value)));
        let pairs = pairs.collect::<Vec<_>>().join(", ");
        lines.push_str(&format!("    environment: {{{pairs}}}\n    labels: {{{pairs}}}\n"));
        let loaded = stack(&format!("services:\n  web:\n    image: nginx\n{lines}{REST}")).service("web");
        let read: std::collections::BTreeMap<_, _> = loaded.labels.into_iter().collect();
        proptest::prop_assert_eq!(read, texts);
    }
}

/// Texts that YAML, or a reader of pairs, could take for something else.
fn odd_text() -> impl Strategy<Value = String> {
    const ODD: [&str; 28] = [
        "<<",
        "=",
        ":",
        "null",
        "~",
        "yes",
        "0o17",
        "0x1F",
        "1_000",
        "1e3",
        ".inf",
        ".nan",
        "12:30:45",
        "2001-12-14",
        "2001-12-14t21:59:43.10-05:00",
        "- a",
        "? a",
        "a: b",
        "a #b",
        "'",
        "\"",
        "!!str x",
        "&a",
        "*a",
        "|\n  x\n",
        " x ",
        "$",
        "${A}",
    ];
    proptest::prop_oneof![
        proptest::sample::select(&ODD[..]).prop_map(str::to_owned),
        any::<String>(),
        "\\PC{0,3}\n{0,2}[ \t]{0,2}",
    ]
}

fn as_list(pairs: &BTreeMap<String, String>) -> String {
    let pairs = pairs.iter().map(|(name, value)| format!("{name}={value}"));
    in_json(&pairs.collect::<Vec<_>>())
}

/// What is in it is a text for YAML, too.
fn in_json(value: &impl serde::Serialize) -> String {
    let json = serde_json::to_string(value).unwrap();
    let is_plain = |c: &char| c.is_ascii() && !c.is_control();
    let escaped = |c: char| match is_plain(&c) {
        true => c.to_string(),
        false => format!("\\U{:08x}", u32::from(c)),
    };
    json.chars()
        .map(escaped)
        .collect::<String>()
        .replace('$', "$$")
}

proptest::proptest! {
    /// Names come by lists as well, which hold what no mapping would.
    #[test]
    fn whatever_texts_there_are_load_again(
        pairs in btree_map(odd_text().prop_filter("a name", |it| {
            !it.is_empty() && !it.contains('=')
        }), odd_text(), 0..4),
        words in vec(odd_text(), 0..4),
        content in odd_text(),
    ) {
        let text = format!(
            "services:\n  web:\n    image: nginx\n    environment: {}\n    labels: {}\n    \
             sysctls: {}\n    logging: {{options: {}}}\n    command: {}\n    user: {}\n    \
             healthcheck: {{test: {}}}\n    configs: [c]\nconfigs: {{c: {{content: {}}}}}\n",
            as_list(&pairs), as_list(&pairs), as_list(&pairs), in_json(&pairs), in_json(&words),
            in_json(&content), in_json(&content), in_json(&content),
        );
        let project = stack(&text).project();
        let web = &project.services["web"];
        proptest::prop_assert_eq!(&web.labels, &pairs);
        proptest::prop_assert_eq!(web.command.clone().unwrap(), words);
    }
}

#[test]
fn names_of_any_length_load_again_or_are_refused() {
    // Escaped, they are longer than YAML lets a key be.
    let long = "\"".repeat(999);
    let labels = in_json(&[format!("{long}=x")]);
    let service = web(&format!("labels: {labels}\ndeploy: {{labels: {labels}}}")).service("web");
    assert_eq!(service.deploy.labels[&long], "x");
    let file = format!("{}=x\n", "A".repeat(1001));
    let too_long = web("env_file: a.env").file("a.env", file).errors();
    assert!(
        too_long.contains("a name has at most 1000 bytes"),
        "{too_long}"
    );
}
