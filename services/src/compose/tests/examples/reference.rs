//! A file that says everything once.

use super::super::kit::stack;

/// Most keys of the reference file of Docker's loader, those that a swarm leaves
/// out among them.
#[test]
fn a_file_with_every_key_of_the_third_version_loads() {
    let full = stack(
        r#"
version: "3.10"
services:
  foo:
    image: redis
    build: {context: ./dir, args: {foo: bar}}
    cap_add: [ALL]
    cgroup_parent: m-executor-abcd
    command: bundle exec thin -p 3000
    container_name: my-web-container
    depends_on: [db]
    deploy:
      replicas: 6
      labels: [FOO=BAR]
      update_config:
        {parallelism: 3, delay: 10s, failure_action: continue, monitor: 60s, max_failure_ratio: 0.3, order: start-first}
      resources:
        limits: {cpus: '0.001', memory: 50M, pids: 100}
        reservations: {cpus: '0.0001', memory: 20M}
      restart_policy: {condition: on-failure, delay: 5s, max_attempts: 3, window: 120s}
      placement:
        constraints: [node.labels.a == foo]
        max_replicas_per_node: 5
        preferences:
          - spread: node.labels.az
      endpoint_mode: dnsrr
    devices: ["/dev/ttyUSB0:/dev/ttyUSB0"]
    dns: [8.8.8.8, 9.9.9.9]
    domainname: foo.com
    environment: {BAZ: baz, QUX: }
    expose: ["3000", 8000]
    external_links: [redis_1, "project_db_1:mysql"]
    labels:
      com.example.number: 42
      com.example.empty-label:
    logging: {driver: syslog, options: {syslog-address: "tcp://192.168.0.42:123"}}
    mac_address: 02:42:ac:11:65:43
    networks:
      some-network: {aliases: [alias1, alias3]}
      other-other-network:
    ports:
      - 3000
      - "3001-3005"
      - "127.0.0.1:5000-5010:5000-5010"
    privileged: true
    restart: always
    sysctls: {net.core.somaxconn: 1024}
    tmpfs: [/run, /tmp]
    ulimits: {nproc: 65535, nofile: {soft: 20000, hard: 40000}}
    volumes:
      - /var/lib/mysql
      - .:/code
      - ~/configs:/etc/configs/:ro
      - some-volume:/var/lib/data
    x-bar: baz
  db: {image: db}
networks:
  some-network:
  other-other-network:
    driver: overlay
    driver_opts: {baz: 1}
    ipam: {driver: overlay, config: [{subnet: 172.16.238.0/24}]}
    x-bar: baz
volumes:
  some-volume:
  external-volume3: {name: this-is-volume3, external: true}
x-nested: {bar: baz}
"#,
    )
    .env("HOME", "/home/me");
    insta::assert_snapshot!(full.warnings(), @r#"
    stack.yml:6:5: services.foo.build: this is ignored: a swarm builds nothing: build the image, push it to a registry that every node reaches, and name it by `image`
    stack.yml:8:5: services.foo.cgroup_parent: this is ignored: the engine's own setting holds
    stack.yml:10:5: services.foo.container_name: this is ignored: containers are named after their tasks; services are reached by the names of services and `networks` aliases
    stack.yml:29:5: services.foo.domainname: this is ignored: put the whole name into `hostname`
    stack.yml:31:5: services.foo.expose: this is ignored: services on one network reach every port of each other
    stack.yml:32:5: services.foo.external_links: this is ignored: put both services on one network
    stack.yml:37:5: services.foo.mac_address: this is ignored: addresses of the link layer are given by the network
    stack.yml:46:5: services.foo.restart: deploy.restart_policy says it: this means nothing
    "#);
    let service = full.service("foo");
    assert_eq!(service.ports.len(), 17);
    assert_eq!(service.labels["com.example.number"], "42");
    assert_eq!(service.labels["com.example.empty-label"], "");
    assert_eq!(service.mounts[2].source, "/home/me/configs");
}
