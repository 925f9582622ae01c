//! Projects in projects, and where variables come from.

use super::kit::{stack, web};

#[test]
fn an_included_project_has_its_own_paths_and_variables() {
    let stack = stack(
        r#"
include:
  - monitoring/compose.yml
  - path: [db/base.yml, db/site.yml]
    project_directory: .
    env_file: db/site.env
services:
  web: {image: "web:${TAG}"}
"#,
    )
    .file(
        "monitoring/compose.yml",
        r#"
services:
  prom:
    image: prom:${TAG}
    volumes: ["./conf:/conf", "data:/data"]
    networks: [mon]
networks: {mon: }
volumes: {data: }
"#,
    )
    .file("monitoring/.env", "TAG=mon\n")
    .file(
        "db/base.yml",
        "services: {db: {image: \"db:$TAG-$KIND\", volumes: [\"./d:/d\"]}}",
    )
    .file("db/site.yml", "services: {db: {hostname: site}}")
    .file("db/site.env", "KIND=fast\nTAG=other")
    .file(".env", "TAG=main\n");
    let project = stack.project();
    let image = |name: &str| project.services[name].image.clone();
    // The including project's variables win.
    assert_eq!(image("prom"), "prom:main");
    assert_eq!(image("db"), "db:main-fast");
    assert_eq!(image("web"), "web:main");
    assert_eq!(
        project.services["prom"].mounts[0].source,
        "/srv/app/monitoring/conf"
    );
    assert_eq!(project.services["db"].mounts[0].source, "/srv/app/d");
    assert_eq!(project.services["db"].hostname.as_deref(), Some("site"));
    assert!(project.volumes.contains_key("data"));
}

#[test]
fn what_includes_wrongly_is_named() {
    let circle =
        stack("include: [a.yml]\nservices: {}").file("a.yml", "include: [stack.yml]\nservices: {}");
    insta::assert_snapshot!(circle.errors(), @r#"
    a.yml:1:11: include[0]: files include each other in a circle, through stack.yml
    "#);
    let missing = stack("include: [a.yml]\nservices: {}");
    insta::assert_snapshot!(missing.errors(), @r#"
    stack.yml:1:11: include[0]: a.yml cannot be read: there is no such file
    "#);
    let remote = stack("include: [\"https://example.com/a.yml\"]\nservices: {}");
    insta::assert_snapshot!(remote.errors(), @r#"
    stack.yml:1:11: include[0]: "https://example.com/a.yml" is not on this machine: fetch it and include the file
    "#);
    let conflict = web("tty: true\n")
        .layer("b.yml", "include: [a.yml]\nservices:\n  web: {image: x}\n")
        .file("a.yml", "services: {web: {image: y}}");
    insta::assert_snapshot!(conflict.errors(), @r#"
    b.yml:1:11: include[0]: services.web is in b.yml:3 already and says something else: rename one, or change it in a file of its own after -c
    "#);
}

#[test]
fn what_two_include_alike_is_there_once() {
    let project = stack("include: [a.yml, b.yml]\nservices: {}")
        .file("a.yml", "include: [c.yml]\nservices: {}")
        .file("b.yml", "include: [c.yml]\nservices: {}")
        .file("c.yml", "services: {c: {image: c}}")
        .project();
    assert_eq!(project.services.len(), 1);
}

#[test]
fn the_environment_wins_over_the_file_beside_the_project() {
    let stack = web("environment: {A: , B: , C: x}\nuser: \"$A$B\"")
        .file(".env", "A=file\nB=file\n")
        .env("A", "shell");
    let service = stack.service("web");
    assert_eq!(service.user.as_deref(), Some("shellfile"));
    assert_eq!(service.environment["A"].as_deref(), Some("shell"));
    let mut other = stack.file("other.env", "B=other");
    other.request.env_files = Some(vec!["/srv/app/other.env".into()]);
    assert_eq!(other.service("web").user.as_deref(), Some("shellother"));
    other.request.env_files = Some(vec!["/none".into()]);
    insta::assert_snapshot!(other.errors(), @r#"
    /none: there is no such file
    "#);
}

#[test]
fn variables_that_are_not_set_are_warned_of() {
    let stack = web("user: \"${NO}\"\ncommand: echo $$HOME");
    insta::assert_snapshot!(stack.warnings(), @r#"
    stack.yml:4:11: services.web.user: the variable NO is not set: it is taken as blank
    "#);
    assert_eq!(
        stack.clone().env("NO", "1").service("web").command.unwrap(),
        ["echo", "$HOME"]
    );
}

#[test]
fn env_files_are_below_the_environment() {
    let stack = web(r#"
env_file:
  - a.env
  - {path: b.env, format: raw}
  - {path: none.env, required: false}
environment: [C=own, D]
label_file: labels
labels: [b=own]
"#)
    .file("a.env", "A='one $X' # comment\nB=a\nC=a\nE\nF\n")
    .file("b.env", "B=\"quoted\"\n")
    .file("labels", "a=file\nb=file\n")
    .env("E", "shell");
    let service = stack.service("web");
    let shown: Vec<String> = service
        .environment
        .iter()
        .map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or("<none>")))
        .collect();
    assert_eq!(
        shown,
        ["A=one $X", "B=\"quoted\"", "C=own", "D=<none>", "E=shell"]
    );
    assert_eq!(
        (&*service.labels["a"], &*service.labels["b"]),
        ("file", "own")
    );
    let wrong = web("env_file: [none.env, bad.env]").file("bad.env", "A=1\nB='x\n");
    insta::assert_snapshot!(wrong.errors(), @r#"
    stack.yml:4:16: services.web.env_file[0]: none.env cannot be read: there is no such file
    "#);
}

#[test]
fn profiles_choose_services() {
    let stack = stack(
        r#"
services:
  web: {image: web, depends_on: {debug: {condition: service_started, required: false}}}
  debug: {image: debug, profiles: [debug, all]}
  test: {image: test, profiles: [test]}
"#,
    );
    let names = |stack: &super::kit::Stack| -> Vec<String> {
        stack.project().services.into_keys().collect()
    };
    assert_eq!(names(&stack), ["web"]);
    assert!(stack.service("web").depends_on.is_empty());
    assert_eq!(names(&stack.clone().profile("debug")), ["debug", "web"]);
    assert_eq!(
        names(&stack.clone().env("COMPOSE_PROFILES", "test, all")),
        ["debug", "test", "web"]
    );
    assert_eq!(names(&stack.profile("*")).len(), 3);
}

#[test]
fn what_profiles_leave_out_may_lack_what_it_needs() {
    let stack = stack(
        r#"
services:
  web: {image: web}
  debug: {profiles: [debug], build: ., env_file: mine.env}
"#,
    );
    assert_eq!(stack.project().services.len(), 1);
    assert!(stack.profile("debug").errors().contains("services.debug"));
}

#[test]
fn values_of_env_files_use_what_is_said_before_them() {
    let stack = web("env_file: [a.env, b.env]\nenvironment: {OWN: own}")
        .file("a.env", "HOST=db\n")
        .file("b.env", "URL=http://$HOST/$OWN\nPASSWORD=pa$word\n");
    let service = stack.service("web");
    assert_eq!(service.environment["URL"].as_deref(), Some("http://db/own"));
    insta::assert_snapshot!(stack.warnings(), @r#"
    stack.yml:4:23: services.web.env_file[1]: b.env:2: the variable word is not set: it is taken as blank; a "$" that is text is "$$", or stands between '…'
    "#);
}

#[test]
fn a_variable_is_asked_of_the_environment_of_its_own_file() {
    let stack = stack("include: [sub/a.yml]\nservices: {}")
        .layer("over.yml", "services: {app: {environment: {X: \"1\"}}}")
        .file(
            "sub/a.yml",
            "services: {app: {image: x, environment: [TOKEN]}}",
        )
        .file("sub/.env", "TOKEN=x\n");
    let token = &stack.service("app").environment["TOKEN"];
    assert_eq!(token.as_deref(), Some("x"));
}
