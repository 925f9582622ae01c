//! What a plan does not do.

use super::*;

#[test]
fn what_is_somebody_elses_is_not_touched() {
    let mut swarm = Swarm::default();
    swarm.deploy(&project("hello"));
    swarm.found.networks[0].labels = None;
    swarm.found.configs[0].spec.labels.clear();
    for service in &mut swarm.found.services {
        service.spec.labels.clear();
    }
    let problems = swarm.plan(&project("another")).unwrap_err();
    insta::assert_snapshot!(problems.join("\n"), @r#"
    network with name shop_default already exists and is not of stack shop; say external: true, or another name
    config shop_motd is there, holds something else and is not of stack shop; remove it, or say another name
    service shop_db: a service of this name exists and is not of stack shop; remove it first
    service shop_web: a service of this name exists and is not of stack shop; remove it first
    "#);
}

#[test]
fn what_is_external_must_be_there() {
    let mut external = project("hello");
    let there = |name: &str| FileObject {
        name: Some(name.into()),
        source: FileSource::External,
        ..content("")
    };
    external.secrets = BTreeMap::from([("password".to_owned(), there("vault"))]);
    external.networks = BTreeMap::from([(
        "default".to_owned(),
        Network {
            name: Some("lan".into()),
            external: true,
            ..Network::default()
        },
    )]);
    let mut swarm = Swarm::default();
    insta::assert_snapshot!(swarm.plan(&external).unwrap_err().join("\n"), @r#"
    network "lan" is declared as external, but could not be found. You need to create a swarm-scoped network before the stack is deployed
    service shop_web: secret not found: vault
    "#);
    let local = NetworkResource {
        name: "lan".into(),
        scope: "local".into(),
        ..NetworkResource::default()
    };
    swarm.found.networks.push(local);
    let problems = swarm.plan(&external).unwrap_err();
    let text = "network \"lan\" is declared as external, but it is not in the right scope: \
                \"local\" instead of \"swarm\"";
    assert!(problems.contains(&text.to_owned()), "{problems:?}");
}

#[test]
fn what_the_daemon_would_refuse_is_refused_before_anything_is_made() {
    let mut wrong = project("");
    wrong
        .services
        .get_mut("db")
        .unwrap()
        .deploy
        .placement
        .constraints = vec!["x".into()];
    let problems = Swarm::default().plan(&wrong).unwrap_err();
    insta::assert_snapshot!(problems.join("\n"), @r#"
    config shop_motd: config data must be larger than 0 and less than 1024000 bytes
    service shop_db: constraint expected one operator from ==, !=
    "#);
}

#[test]
fn nothing_waits_for_the_end_of_what_never_ends() {
    let mut project = project("hello");
    let dependency = Dependency {
        condition: Condition::CompletedSuccessfully,
        ..Dependency::default()
    };
    let web = project.services.get_mut("web").unwrap();
    web.depends_on.insert("db".into(), dependency);
    let read = |_: &FileSource| Ok(b"x".to_vec());
    let problems = wanted(stack(), &project, &read).unwrap_err();
    insta::assert_snapshot!(problems.join("\n"), @r#"
    service web: it waits until db is complete, which is restarted whenever it ends; say deploy.mode: replicated-job of db, or restart: on-failure
    "#);
    let db = project.services.get_mut("db").unwrap();
    db.deploy.mode = Mode::ReplicatedJob {
        max_concurrent: 1,
        total_completions: 1,
    };
    assert!(wanted(stack(), &project, &read).is_ok());
}

#[test]
fn a_network_that_cannot_become_what_is_wanted_is_shown() {
    let mut swarm = Swarm::default();
    swarm.deploy(&project("hello"));
    let mut open = project("hello");
    open.networks.get_mut("default").unwrap().attachable = true;
    let shown = show(&swarm.plan(&open).unwrap());
    let expected = "keep   network shop_default, which differs and cannot be changed\n         \
                    Attachable\n         - false\n         + true\n";
    assert!(shown.starts_with(expected), "{shown}");
}

#[test]
fn a_plan_shows_no_secret() {
    let plan = Swarm::default().plan(&project("hello")).unwrap();
    assert!(!format!("{plan:?}{}", show(&plan)).contains("hunter2"));
}
