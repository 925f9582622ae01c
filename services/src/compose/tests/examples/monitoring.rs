//! A stack that says much.

use super::super::kit::{Stack, stack};
use crate::compose::NetworkMode;

fn prometheus() -> Stack {
    stack(
        r#"
version: "3.7"
x-logging: &logging
  driver: json-file
  options: {max-size: 10m, max-file: "3"}
x-defaults: &defaults
  logging: *logging
  networks: [net]
services:
  prometheus:
    <<: *defaults
    image: prom/prometheus:${PROMETHEUS_TAG:-v2.48.0}
    command:
      - '--config.file=/etc/prometheus/prometheus.yml'
      - '--storage.tsdb.retention.time=${RETENTION:-24h}'
    configs:
      - source: prom
        target: /etc/prometheus/prometheus.yml
        mode: 0440
      - rules
    secrets: [token]
    user: 1000:1000
    volumes:
      - type: volume
        source: data
        target: /prometheus
        volume: {nocopy: true}
    healthcheck:
      test: wget -q -O - localhost:9090/-/ready
      interval: 30s
      start_interval: 1s
      retries: 5
    deploy:
      resources:
        limits: {cpus: '0.50', memory: 512M, pids: 100}
        reservations:
          cpus: 0.25
          memory: 128m
          generic_resources:
            - discrete_resource_spec: {kind: ssd, value: 1}
  node-exporter:
    <<: [*defaults]
    image: prom/node-exporter
    hostname: "{{.Node.Hostname}}"
    networks: !override {}
    network_mode: host
    pid: host
    deploy: {mode: global}
configs:
  prom:
    file: ./prometheus.yml
    name: prom-${VERSION:-1}
    template_driver: golang
  rules:
    content: |
      groups: []
secrets:
  token:
    environment: TOKEN
networks:
  net:
    ipam:
      config:
        - subnet: 10.77.0.0/24
volumes:
  data:
    driver_opts:
      type: nfs
      o: addr=10.0.0.1,rw
      device: ":/export/data"
"#,
    )
    .env("TOKEN", "hunter2")
}

#[test]
fn a_monitoring_stack_loads_with_all_that_it_says() {
    let project = prometheus().project();
    let prometheus = &project.services["prometheus"];
    assert_eq!(prometheus.image, "prom/prometheus:v2.48.0");
    assert_eq!(
        prometheus.logging.as_ref().unwrap().options["max-file"],
        "3"
    );
    assert_eq!(prometheus.configs[0].mode, 0o440);
    assert_eq!(prometheus.configs[1].target, "rules");
    assert_eq!(prometheus.user.as_deref(), Some("1000:1000"));
    let limits = prometheus.deploy.resources.limits.as_ref().unwrap();
    assert_eq!(
        (limits.nano_cpus, limits.memory_bytes, limits.pids),
        (500_000_000, 512 << 20, 100)
    );
    assert_eq!(prometheus.deploy.generic_resources["ssd"], 1);
    let exporter = &project.services["node-exporter"];
    assert_eq!(exporter.network_mode, Some(NetworkMode::Host));
    assert!(exporter.networks.is_empty());
    assert!(!project.networks.contains_key("default"));
}

#[test]
fn a_project_is_written_in_its_long_form() {
    let shown = prometheus().project().to_yaml();
    assert!(!shown.contains("hunter2"));
    insta::assert_snapshot!(shown, @r#"
    services:
      node-exporter:
        image: prom/node-exporter
        hostname: "{{.Node.Hostname}}"
        logging:
          driver: json-file
          options:
            max-file: "3"
            max-size: "10m"
        network_mode: host
        deploy:
          mode: global
        pid: host
      prometheus:
        image: "prom/prometheus:v2.48.0"
        command:
          - "--config.file=/etc/prometheus/prometheus.yml"
          - "--storage.tsdb.retention.time=24h"
        user: "1000:1000"
        volumes:
          - type: volume
            source: data
            target: /prometheus
            volume:
              nocopy: true
        healthcheck:
          test:
            - CMD-SHELL
            - "wget -q -O - localhost:9090/-/ready"
          interval: 30s
          start_interval: 1s
          retries: 5
        logging:
          driver: json-file
          options:
            max-file: "3"
            max-size: "10m"
        networks:
          net: {}
        secrets:
          - source: token
            target: token
            mode: "0444"
        configs:
          - source: prom
            target: /etc/prometheus/prometheus.yml
            mode: "0440"
          - source: rules
            target: rules
            mode: "0444"
        deploy:
          resources:
            limits:
              cpus: "0.5"
              memory: 536870912
              pids: 100
            reservations:
              cpus: "0.25"
              memory: 134217728
              generic_resources:
                - discrete_resource_spec:
                    kind: ssd
                    value: 1
    networks:
      net:
        ipam:
          config:
            - subnet: "10.77.0.0/24"
    volumes:
      data:
        driver_opts:
          device: ":/export/data"
          o: "addr=10.0.0.1,rw"
          type: nfs
    secrets:
      token:
        environment: TOKEN
    configs:
      prom:
        name: prom-1
        file: /srv/app/prometheus.yml
        template_driver: golang
      rules:
        content: "groups: []\n"
    "#);
}
