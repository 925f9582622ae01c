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
fn a_service_becomes_what_dockers_program_makes_of_it() {
    let second = Duration::from_secs(1);
    let mut service = image("docker.io/library/nginx");
    service.environment = BTreeMap::from([
        ("A".to_owned(), Some("1".to_owned())),
        ("A1".to_owned(), Some("2".to_owned())),
        ("GONE".to_owned(), None),
    ]);
    service.command = Some(vec!["serve".into()]);
    service.labels = BTreeMap::from([("of".to_owned(), "container".to_owned())]);
    service.cap_add = vec!["net_admin".into()];
    service.stop_grace = Some(second * 3);
    service.ulimits = vec![
        spec::Ulimit {
            name: "nproc".into(),
            soft: 1,
            hard: 2,
        },
        spec::Ulimit {
            name: "nofile".into(),
            soft: 3,
            hard: 4,
        },
    ];
    service.mounts = vec![spec::Mount {
        kind: MountKind::Volume,
        source: "data".into(),
        target: "/data".into(),
        read_only: false,
        consistency: None,
        bind: None,
        volume: None,
        tmpfs: None,
    }];
    let port = |published, target| PortSpec {
        name: None,
        protocol: Protocol::Tcp,
        target,
        published,
        mode: PublishMode::Ingress,
        host_ip: None,
    };
    let local = PortSpec {
        host_ip: Some([127, 0, 0, 1].into()),
        ..port(8080, 80)
    };
    service.ports = vec![port(9090, 90), local];
    let back = Attachment {
        aliases: vec!["www".into()],
        ipv4_address: Some([10, 9, 0, 5].into()),
        ..Attachment::default()
    };
    service.networks.insert("back".into(), back);
    service.devices = vec![spec::Device {
        on_host: "/dev/ttyUSB0".into(),
        in_container: "/dev/gps".into(),
        permissions: "rw".into(),
    }];
    service.privileged = true;
    service.security_opt = vec!["no-new-privileges".into()];
    service.shm_size = Some(64 << 20);
    service.secrets = vec![as_file("password")];
    service.configs = vec![as_file("zone"), as_file("motd")];
    service.deploy = Deploy {
        labels: BTreeMap::from([("of".to_owned(), "service".to_owned())]),
        generic_resources: BTreeMap::from([("gpu".to_owned(), 2)]),
        restart: Some(RestartPolicy {
            delay: Some(second),
            ..RestartPolicy::default()
        }),
        ..Deploy::default()
    };
    let project = Project {
        services: BTreeMap::from([("web".to_owned(), service.clone())]),
        volumes: BTreeMap::from([("data".to_owned(), Volume::default())]),
        networks: BTreeMap::from([
            ("default".to_owned(), Network::default()),
            (
                "back".to_owned(),
                Network {
                    name: Some("lan".into()),
                    ..Network::default()
                },
            ),
        ]),
        ..Project::default()
    };
    let spec = super::spec::service_spec(&stack(), "web", &service, &project);
    insta::assert_snapshot!(serde_json::to_string_pretty(&spec).unwrap(), @r#"
    {
      "Name": "shop_web",
      "Labels": {
        "com.docker.stack.image": "docker.io/library/nginx",
        "com.docker.stack.namespace": "shop",
        "of": "service",
        "swarmlet.device.0": "/dev/ttyUSB0:/dev/gps:rw",
        "swarmlet.host-ip.8080/tcp": "127.0.0.1",
        "swarmlet.ip.lan": "10.9.0.5",
        "swarmlet.privileged": "true",
        "swarmlet.security-opt.0": "no-new-privileges",
        "swarmlet.shm-size": "67108864"
      },
      "TaskTemplate": {
        "ContainerSpec": {
          "Image": "nginx:latest",
          "Labels": {
            "com.docker.stack.namespace": "shop",
            "of": "container"
          },
          "Args": [
            "serve"
          ],
          "Env": [
            "A1=2",
            "A=1",
            "GONE"
          ],
          "Mounts": [
            {
              "Type": "volume",
              "Source": "shop_data",
              "Target": "/data",
              "VolumeOptions": {
                "Labels": {
                  "com.docker.stack.namespace": "shop"
                }
              }
            }
          ],
          "StopGracePeriod": 3000000000,
          "Secrets": [
            {
              "File": {
                "Name": "/etc/password",
                "UID": "0",
                "GID": "0",
                "Mode": 292
              },
              "SecretID": "",
              "SecretName": "shop_password"
            }
          ],
          "Configs": [
            {
              "File": {
                "Name": "/etc/motd",
                "UID": "0",
                "GID": "0",
                "Mode": 292
              },
              "ConfigID": "",
              "ConfigName": "shop_motd"
            },
            {
              "File": {
                "Name": "/etc/zone",
                "UID": "0",
                "GID": "0",
                "Mode": 292
              },
              "ConfigID": "",
              "ConfigName": "shop_zone"
            }
          ],
          "Isolation": "default",
          "CapabilityAdd": [
            "CAP_NET_ADMIN"
          ],
          "Ulimits": [
            {
              "Name": "nofile",
              "Hard": 4,
              "Soft": 3
            },
            {
              "Name": "nproc",
              "Hard": 2,
              "Soft": 1
            }
          ]
        },
        "Resources": {
          "Reservations": {
            "GenericResources": [
              {
                "DiscreteResourceSpec": {
                  "Kind": "gpu",
                  "Value": 2
                }
              }
            ]
          }
        },
        "RestartPolicy": {
          "Condition": "any",
          "Delay": 1000000000,
          "MaxAttempts": 0
        },
        "Placement": {},
        "Networks": [
          {
            "Target": "lan",
            "Aliases": [
              "www",
              "web"
            ]
          },
          {
            "Target": "shop_default",
            "Aliases": [
              "web"
            ]
          }
        ],
        "ForceUpdate": 0,
        "Runtime": "container"
      },
      "Mode": {
        "Replicated": {
          "Replicas": 1
        }
      },
      "EndpointSpec": {
        "Mode": "vip",
        "Ports": [
          {
            "Protocol": "tcp",
            "TargetPort": 80,
            "PublishedPort": 8080,
            "PublishMode": "ingress"
          },
          {
            "Protocol": "tcp",
            "TargetPort": 90,
            "PublishedPort": 9090,
            "PublishMode": "ingress"
          }
        ]
      }
    }
    "#);
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
