//! Stacks as Docker's documentation and well-known projects write them.

mod monitoring;
mod reference;

use super::kit::stack;
use crate::compose::{FileSource, Project};
use crate::spec::{Mode, MountKind, PublishMode, RestartCondition};

const VOTING: &str = r#"
version: "3"
services:
  redis:
    image: redis:alpine
    networks:
      - frontend
    deploy:
      replicas: 1
      update_config:
        parallelism: 2
        delay: 10s
      restart_policy:
        condition: on-failure
  db:
    image: postgres:9.4
    environment:
      POSTGRES_USER: "postgres"
      POSTGRES_PASSWORD: "postgres"
    volumes:
      - db-data:/var/lib/postgresql/data
    networks:
      - backend
    deploy:
      placement:
        constraints: [node.role == manager]
  vote:
    image: dockersamples/examplevotingapp_vote:before
    ports:
      - 5000:80
    networks:
      - frontend
    depends_on:
      - redis
    deploy:
      replicas: 2
      update_config:
        parallelism: 2
      restart_policy:
        condition: on-failure
  worker:
    image: dockersamples/examplevotingapp_worker
    networks:
      - frontend
      - backend
    depends_on:
      - db
      - redis
    deploy:
      mode: replicated
      replicas: 1
      labels: [APP=VOTING]
      restart_policy:
        condition: on-failure
        delay: 10s
        max_attempts: 3
        window: 120s
      placement:
        constraints: [node.role == manager]
  visualizer:
    image: dockersamples/visualizer:stable
    ports:
      - "8080:8080"
    stop_grace_period: 1m30s
    volumes:
      - "/var/run/docker.sock:/var/run/docker.sock"
    deploy:
      placement:
        constraints: [node.role == manager]
networks:
  frontend:
  backend:
volumes:
  db-data:
"#;

#[test]
fn the_voting_app_loads_without_a_warning() {
    let loaded = stack(VOTING).loaded();
    assert_eq!(loaded.warnings, []);
    let Project {
        services,
        networks,
        volumes,
        ..
    } = loaded.project;
    assert_eq!(services.len(), 5);
    // The visualizer says no network.
    assert_eq!(
        networks.keys().collect::<Vec<_>>(),
        ["backend", "default", "frontend"]
    );
    assert!(volumes.contains_key("db-data"));
    let worker = &services["worker"];
    assert_eq!(worker.deploy.labels["APP"], "VOTING");
    assert_eq!(
        worker.deploy.placement.constraints,
        ["node.role == manager"]
    );
    let restart = worker.deploy.restart.as_ref().unwrap();
    assert_eq!(restart.condition, Some(RestartCondition::OnFailure));
    assert_eq!(restart.window.unwrap().as_secs(), 120);
    assert_eq!(
        services["vote"].deploy.mode,
        Mode::Replicated { replicas: Some(2) }
    );
    assert_eq!(services["vote"].deploy.update.as_ref().unwrap().delay, None);
    assert_eq!(services["db"].mounts[0].source, "db-data");
    assert_eq!(services["visualizer"].mounts[0].kind, MountKind::Bind);
    assert_eq!(services["visualizer"].stop_grace.unwrap().as_secs(), 90);
}

#[test]
fn the_example_of_the_specification_loads() {
    let example = stack(
        r#"
services:
  frontend:
    image: example/webapp
    ports:
      - "443:8043"
    networks:
      - front-tier
      - back-tier
    configs:
      - httpd-config
    secrets:
      - server-certificate
  backend:
    image: example/database
    volumes:
      - db-data:/etc/data
    networks:
      - back-tier
volumes:
  db-data:
    driver: flocker
    driver_opts:
      size: "10GiB"
configs:
  httpd-config:
    external: true
secrets:
  server-certificate:
    external: true
networks:
  # The presence of these objects is sufficient to define them
  front-tier: {}
  back-tier: {}
"#,
    );
    let loaded = example.loaded();
    assert_eq!(loaded.warnings, []);
    let project = loaded.project;
    assert_eq!(project.used_networks().len(), 2);
    assert_eq!(project.configs["httpd-config"].source, FileSource::External);
    let volume = project.volumes["db-data"].driver.as_ref().unwrap();
    assert_eq!(
        (volume.name.as_str(), &*volume.options["size"]),
        ("flocker", "10GiB")
    );
}

#[test]
fn traefik_on_a_swarm_loads() {
    let traefik = stack(
        r#"
version: '3.8'
services:
  reverse-proxy:
    image: traefik:v3.1
    command:
      - --providers.swarm.endpoint=unix:///var/run/docker.sock
      - --entryPoints.web.address=:80
    ports:
      - target: 80
        published: 80
        protocol: tcp
        mode: host
      - mode: host
        protocol: udp
        published: 443
        target: 443
    volumes:
      - /var/run/docker.sock:/var/run/docker.sock:ro
      - traefik-certificates:/certificates
    networks:
      - traefik-public
    deploy:
      mode: global
      placement:
        constraints:
          - node.role == manager
      labels:
        - traefik.enable=true
        - traefik.http.routers.api.rule=Host(`${DOMAIN?Variable not set}`)
        - traefik.http.middlewares.auth.basicauth.users=admin:$$apr1$$x
networks:
  traefik-public:
    driver: overlay
    external: true
volumes:
  traefik-certificates:
"#,
    );
    insta::assert_snapshot!(
        traefik.errors(),
        @r#"
    stack.yml:30:11: services.reverse-proxy.deploy.labels[1]: invalid interpolation format in "traefik.http.routers.api.rule=Host(`${DOMAIN?Variable not set}`)": the variable DOMAIN must be set: Variable not set
    "#
    );
    let traefik = traefik.env("DOMAIN", "example.com");
    insta::assert_snapshot!(traefik.warnings(), @r#"
    stack.yml:34:5: networks.traefik-public.driver: this is ignored: `external` is there already
    "#);
    let service = traefik.service("reverse-proxy");
    assert_eq!(service.deploy.mode, Mode::Global);
    assert_eq!(service.ports[0].mode, PublishMode::Host);
    assert!(service.mounts[0].read_only);
    let labels = &service.deploy.labels;
    assert_eq!(
        labels["traefik.http.routers.api.rule"],
        "Host(`example.com`)"
    );
    assert_eq!(
        labels["traefik.http.middlewares.auth.basicauth.users"],
        "admin:$apr1$x"
    );
    let network = &traefik.project().networks["traefik-public"];
    assert_eq!(network.name.as_deref(), Some("traefik-public"));
    assert!(network.external && network.driver.is_none());
}

#[test]
fn the_agent_of_portainer_loads() {
    let portainer = stack(
        r#"
version: "3.2"
services:
  agent:
    image: portainer/agent:2.19.4
    volumes:
      - /var/run/docker.sock:/var/run/docker.sock
      - /var/lib/docker/volumes:/var/lib/docker/volumes
    networks:
      - agent_network
    deploy:
      mode: global
      placement:
        constraints: [node.platform.os == linux]
  portainer:
    image: portainer/portainer-ce:2.19.4
    command: -H tcp://tasks.agent:9001 --tlsskipverify
    ports:
      - "9443:9443"
      - "8000:8000"
    volumes:
      - portainer_data:/data
    networks:
      - agent_network
    deploy:
      mode: replicated
      replicas: 1
networks:
  agent_network:
    driver: overlay
    attachable: true
volumes:
  portainer_data:
"#,
    );
    assert_eq!(portainer.loaded().warnings, []);
    let service = portainer.service("portainer");
    assert_eq!(
        service.command.unwrap(),
        ["-H", "tcp://tasks.agent:9001", "--tlsskipverify"]
    );
    assert!(portainer.project().networks["agent_network"].attachable);
}

#[test]
fn wordpress_with_its_compose_habits_loads() {
    let wordpress = stack(
        r#"
services:
  db:
    image: mariadb:10.6.4-focal
    command: '--default-authentication-plugin=mysql_native_password'
    container_name: db
    volumes:
      - db_data:/var/lib/mysql
    restart: always
    environment:
      - MYSQL_ROOT_PASSWORD=somewordpress
      - MYSQL_DATABASE=wordpress
    expose:
      - 3306
      - 33060
  wordpress:
    build: .
    image: wordpress:latest
    links: [db]
    depends_on: [db]
    ports:
      - 80:80
    restart: unless-stopped
    environment:
      - WORDPRESS_DB_HOST=db
volumes:
  db_data:
"#,
    );
    insta::assert_snapshot!(wordpress.warnings(), @r#"
    stack.yml:6:5: services.db.container_name: this is ignored: containers are named after their tasks; services are reached by the names of services and `networks` aliases
    stack.yml:13:5: services.db.expose: this is ignored: services on one network reach every port of each other
    stack.yml:17:5: services.wordpress.build: this is ignored: a swarm builds nothing: build the image, push it to a registry that every node reaches, and name it by `image`
    stack.yml:19:5: services.wordpress.links: this is ignored: services on one network reach each other by their names; for another name use `aliases` of the network
    "#);
    let restart = wordpress.service("db").deploy.restart.unwrap();
    assert_eq!(restart.condition, Some(RestartCondition::Any));
    assert_eq!(restart.delay, None);
}
