mod becoming;
mod refusals;

use std::collections::BTreeMap;
use std::time::Duration;

use services::compose::{
    Attachment, Condition, Dependency, Deploy, FileObject, FileSource, FileUse, Network,
    NetworkMode, Project, Service, Volume,
};
use services::file::FileKind;
use services::spec::{self, Mode, MountKind, PortSpec, Protocol, PublishMode, RestartPolicy};

use super::canonical::Ids;
use super::*;
use crate::api::dto::{self, File, NetworkResource, Version};

fn stack() -> Stack {
    Stack("shop".into())
}

fn image(name: &str) -> Service {
    Service {
        image: name.into(),
        networks: BTreeMap::from([("default".to_owned(), Attachment::default())]),
        ..Service::default()
    }
}

fn content(text: &str) -> FileObject {
    FileObject {
        name: None,
        source: FileSource::Content(text.into()),
        labels: Default::default(),
        templating: None,
    }
}

fn as_file(source: &str) -> FileUse {
    FileUse {
        source: source.into(),
        target: format!("/etc/{source}"),
        mode: 0o444,
        ..FileUse::default()
    }
}

/// `web`, which waits for `db` and has the config `motd`.
fn project(motd: &str) -> Project {
    let mut web = image("nginx:1.26");
    web.configs = vec![as_file("motd")];
    web.secrets = vec![as_file("password")];
    let dependency = Dependency {
        condition: Condition::Healthy,
        restart: true,
        ..Dependency::default()
    };
    web.depends_on = BTreeMap::from([("db".to_owned(), dependency)]);
    Project {
        services: BTreeMap::from([
            ("db".to_owned(), image("postgres")),
            ("web".to_owned(), web),
        ]),
        networks: BTreeMap::from([("default".to_owned(), Network::default())]),
        secrets: BTreeMap::from([("password".to_owned(), content("hunter2"))]),
        configs: BTreeMap::from([("motd".to_owned(), content(motd))]),
        ..Project::default()
    }
}

fn wanted_of(project: &Project) -> Wanted {
    let read = |source: &FileSource| match source {
        FileSource::Content(text) => Ok(text.clone().into_bytes()),
        other => Err(format!("{other:?}")),
    };
    wanted(stack(), project, &read).unwrap()
}

/// A swarm that is played: it does what plans say.
#[derive(Default)]
struct Swarm {
    found: Found,
    /// What is in secrets and configs, by id.
    data: BTreeMap<String, Vec<u8>>,
    made: u128,
}

impl Swarm {
    fn id(&mut self) -> String {
        self.made += 1;
        services::Id::from_u128((self.made << 100) + 7).to_string()
    }

    fn plan(&self, project: &Project) -> Result<Plan, Vec<String>> {
        self.plan_with(project, &Images::new(), false)
    }

    fn plan_with(
        &self,
        project: &Project,
        images: &Images,
        prune: bool,
    ) -> Result<Plan, Vec<String>> {
        let wanted = wanted_of(project);
        let mut found = self.found.clone();
        for file in &wanted.files {
            let files = self.found.files(file.kind);
            for known in versions(&wanted.stack, &file.spec.name, files) {
                if self.data[&known.id] == file.spec.data.0 {
                    let name = file.spec.name.clone();
                    found.same.insert((file.kind, name, known.id.clone()));
                }
            }
        }
        plan(&wanted, &found, images, prune)
    }

    /// Does what the project asks for; what was planned.
    fn deploy(&mut self, project: &Project) -> String {
        let plan = self.plan(project).unwrap();
        for step in plan.networks.iter().filter(|step| !step.exists) {
            let network = NetworkResource {
                id: self.id(),
                name: step.request.name.clone(),
                scope: "swarm".into(),
                driver: step.request.driver.clone(),
                labels: Some(step.request.labels.clone()),
                ..NetworkResource::default()
            };
            self.found.networks.push(network);
        }
        for step in &plan.files {
            if let FileChange::Create { .. } = &step.change {
                let id = self.id();
                self.data.insert(id.clone(), step.spec.data.0.clone());
                let file = File {
                    id,
                    spec: step.spec.clone(),
                    ..File::default()
                };
                match step.kind {
                    FileKind::Secret => self.found.secrets.push(file),
                    FileKind::Config => self.found.configs.push(file),
                }
            }
        }
        for step in &plan.services {
            let spec = self.taken(step.spec.clone());
            match &step.change {
                ServiceChange::Create => {
                    let service = dto::Service {
                        id: self.id(),
                        version: Version { index: 1 },
                        spec,
                        ..dto::Service::default()
                    };
                    self.found.services.push(service);
                }
                ServiceChange::Update { id, .. } => {
                    let mut services = self.found.services.iter_mut();
                    let service = services.find(|service| service.id == *id).unwrap();
                    service.previous_spec = Some(std::mem::replace(&mut service.spec, spec));
                }
                ServiceChange::Keep { .. } => {}
            }
        }
        for (_, id, _) in &plan.outdated {
            self.found.secrets.retain(|file| file.id != *id);
            self.found.configs.retain(|file| file.id != *id);
        }
        show(&plan)
    }

    /// As the daemon shows it after it took it.
    fn taken(&self, spec: dto::ServiceSpec) -> dto::ServiceSpec {
        let mut ids = Ids::default();
        for network in &self.found.networks {
            ids.add_network(&network.name, Some(&network.id));
        }
        for kind in FileKind::ALL {
            for file in self.found.files(kind) {
                ids.add_file(kind, &file.spec.name, Some(&file.id));
            }
        }
        ids.canonical(spec).unwrap()
    }
}

#[test]
fn a_first_deploy_makes_everything_and_a_second_one_nothing() {
    let mut swarm = Swarm::default();
    insta::assert_snapshot!(swarm.deploy(&project("hello")), @r#"
    create network shop_default
    create secret shop_password
    create config shop_motd
    create service shop_db
    create service shop_web
    "#);
    insta::assert_snapshot!(swarm.deploy(&project("hello")), @r#"
    keep   network shop_default
    keep   secret shop_password
    keep   config shop_motd
    keep   service shop_db
    keep   service shop_web
    "#);
    assert!(swarm.plan(&project("hello")).unwrap().outdated.is_empty());
}

#[test]
fn services_come_after_those_that_they_depend_on() {
    let plan = Swarm::default().plan(&project("hello")).unwrap();
    let order: Vec<&str> = plan
        .services
        .iter()
        .map(|step| step.spec.name.as_str())
        .collect();
    assert_eq!(order, ["shop_db", "shop_web"]);
    let wait = ("shop_db".to_owned(), crate::cli::progress::Until::Healthy);
    assert_eq!(plan.services[1].waits, [wait]);
}

#[test]
fn a_changed_file_is_a_new_version_and_the_one_before_the_last_goes() {
    let mut swarm = Swarm::default();
    swarm.deploy(&project("one"));
    insta::assert_snapshot!(swarm.deploy(&project("two")), @r#"
    keep   network shop_default
    keep   secret shop_password
    create config shop_motd-2, for shop_motd holds something else
    keep   service shop_db
    change service shop_web
             TaskTemplate.ContainerSpec.Configs
             - {"ConfigID":"00000a8pa4y0u1xjs34demadj","ConfigName":"shop_motd","File":{"GID":"0","Mode":292,"Name":"/etc/motd","UID":"0"}}
             + {"ConfigID":"","ConfigName":"shop_motd-2","File":{"GID":"0","Mode":292,"Name":"/etc/motd","UID":"0"}}
    "#);
    insta::assert_snapshot!(swarm.deploy(&project("three")), @r#"
    keep   network shop_default
    keep   secret shop_password
    create config shop_motd-3, for shop_motd-2 holds something else
    keep   service shop_db
    change service shop_web
             TaskTemplate.ContainerSpec.Configs
             - {"ConfigID":"00000khek9w1o3v3k68qt8kqv","ConfigName":"shop_motd-2","File":{"GID":"0","Mode":292,"Name":"/etc/motd","UID":"0"}}
             + {"ConfigID":"","ConfigName":"shop_motd-3","File":{"GID":"0","Mode":292,"Name":"/etc/motd","UID":"0"}}
    remove config shop_motd, which nothing uses any more
    "#);
    // What it was before is there for a rollback, and is taken up again.
    insta::assert_snapshot!(swarm.deploy(&project("two")), @r#"
    keep   network shop_default
    keep   secret shop_password
    keep   config shop_motd-2
    keep   service shop_db
    change service shop_web
             TaskTemplate.ContainerSpec.Configs
             - {"ConfigID":"00000nwaznjdy4ia5ja7a407b","ConfigName":"shop_motd-3","File":{"GID":"0","Mode":292,"Name":"/etc/motd","UID":"0"}}
             + {"ConfigID":"00000khek9w1o3v3k68qt8kqv","ConfigName":"shop_motd-2","File":{"GID":"0","Mode":292,"Name":"/etc/motd","UID":"0"}}
    "#);
    let names = swarm
        .found
        .configs
        .iter()
        .map(|file| file.spec.name.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["shop_motd-2", "shop_motd-3"]);
}

#[test]
fn a_version_takes_no_name_that_the_project_gives() {
    let mut swarm = Swarm::default();
    let with_both = |motd: &str| {
        let mut project = project(motd);
        project.configs.insert("motd-2".into(), content("other"));
        project
    };
    swarm.deploy(&with_both("one"));
    let shown = swarm.deploy(&with_both("two"));
    assert!(
        shown.contains("create config shop_motd-3, for shop_motd holds"),
        "{shown}"
    );
}

#[test]
fn who_restarts_with_another_is_restarted_when_it_is_replaced() {
    let mut swarm = Swarm::default();
    swarm.deploy(&project("hello"));
    let mut changed = project("hello");
    changed.services.get_mut("db").unwrap().image = "postgres:17".into();
    insta::assert_snapshot!(swarm.deploy(&changed), @r#"
    keep   network shop_default
    keep   secret shop_password
    keep   config shop_motd
    change service shop_db
             Labels.com.docker.stack.image
             - postgres
             + postgres:17
             TaskTemplate.ContainerSpec.Image
             - postgres:latest
             + postgres:17
    change service shop_web
             TaskTemplate.ForceUpdate
             - 0
             + 1
    "#);
    let same = swarm.deploy(&changed);
    assert!(!same.contains("change"), "{same}");
}

#[test]
fn what_no_file_names_goes_only_where_that_is_asked_for() {
    let mut swarm = Swarm::default();
    swarm.deploy(&project("hello"));
    let mut less = project("hello");
    less.services.remove("db");
    less.services.get_mut("web").unwrap().depends_on.clear();
    let kept = show(&swarm.plan(&less).unwrap());
    assert!(
        kept.contains("keep   service shop_db, which no file names"),
        "{kept}"
    );
    let pruned = swarm.plan_with(&less, &Images::new(), true).unwrap();
    assert!(show(&pruned).contains("remove service shop_db\n"));
}

fn digest(digit: char) -> String {
    format!("@sha256:{}", String::from(digit).repeat(64))
}

#[test]
fn an_image_stays_what_a_registry_made_of_it() {
    let mut swarm = Swarm::default();
    swarm.deploy(&project("hello"));
    for service in &mut swarm.found.services {
        let template = &mut service.spec.task_template;
        let container = template.container_spec.as_mut().unwrap();
        container.image.push_str(&digest('a'));
    }
    let same = show(&swarm.plan(&project("hello")).unwrap());
    assert!(!same.contains("change"), "{same}");
    let pinned = Pinned {
        image: format!("nginx:1.26{}", digest('b')),
        platforms: Vec::new(),
    };
    let images = Images::from([("nginx:1.26".to_owned(), pinned)]);
    let newer = swarm.plan_with(&project("hello"), &images, false).unwrap();
    let newer = show(&newer);
    let shown = newer.lines().filter(|line| line.contains("sha256"));
    insta::assert_snapshot!(shown.collect::<Vec<_>>().join("\n"), @r#"
    - nginx:1.26@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    + nginx:1.26@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
    "#);
}

#[test]
fn a_service_may_be_on_its_nodes_own_network() {
    let mut swarm = Swarm::default();
    let mut hello = project("hello");
    let db = hello.services.get_mut("db").unwrap();
    db.networks.clear();
    db.network_mode = Some(NetworkMode::None);
    let web = hello.services.get_mut("web").unwrap();
    web.networks = BTreeMap::from([("node".to_owned(), Attachment::default())]);
    let host = Network {
        name: Some("host".into()),
        external: true,
        ..Network::default()
    };
    hello.networks = BTreeMap::from([("node".to_owned(), host)]);
    let plan = swarm.plan(&hello).unwrap();
    assert!(plan.networks.is_empty());
    let on = |plan: &Plan| -> Vec<String> {
        let specs = plan.services.iter().map(|step| &step.spec);
        let targets = specs.flat_map(|spec| &spec.task_template.networks);
        targets.map(|it| it.target.clone()).collect()
    };
    assert_eq!(on(&plan), ["none", "host"]);
    swarm.deploy(&hello);
    let again = swarm.plan(&hello).unwrap();
    assert!(!again.changes("shop_db") && !again.changes("shop_web"));
}
