//! What a service of a project becomes.

use super::*;

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
    let spec = crate::cli::stack::spec::service_spec(&stack(), "web", &service, &project);
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
