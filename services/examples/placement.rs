//! How long the plan takes: `cargo run --release -p swarmlet-services
//! --example placement`. From scratch, and again while nothing changes; then
//! with every task on a network and behind a VIP.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use services::object::{NodeDescription, TaskState, TaskStatus};
use services::spec::{
    Availability, IpamConfig, IpamSpec, Mode, NetworkAttachment, NetworkSpec, NodeSpec,
    ResourceAmounts, Resources, Role, ServiceSpec,
};
use services::{
    Command, Id, NodeHealth, NodeObserved, Observed, Plan, Proposal, State, Timestamp, plan,
};

const NOW: Timestamp = Timestamp(1_000_000_000_000_000);

fn main() -> Result<(), Box<dyn Error>> {
    println!("   tasks   nodes  from scratch     tasks/s  nothing to do");
    for networks in [0, 2] {
        println!("on {networks} networks");
        for (tasks, nodes) in [(1_000, 100), (10_000, 1_000), (100_000, 10_000)] {
            measure(tasks, nodes, networks)?;
        }
    }
    Ok(())
}

fn measure(tasks: u64, nodes: u64, networks: u8) -> Result<(), Box<dyn Error>> {
    let mut swarm = Swarm::default();
    for number in 0..nodes {
        swarm.add_node(number)?;
    }
    let networks: Vec<Id> = (0..networks)
        .map(|number| swarm.add_network(number))
        .collect::<Result<_, _>>()?;
    for number in 0..10 {
        swarm.add_service(number, tasks / 10, &networks)?;
    }
    let (first, made) = swarm.plan();
    swarm.apply(Command::Plan {
        changes: made.changes,
    })?;
    let placed: Vec<Id> = swarm.state.tasks().map(|task| task.id).collect();
    for id in placed {
        let running = TaskStatus::at(TaskState::Running, NOW, "started");
        swarm.observed.tasks.insert(id, running);
    }
    let (again, made) = swarm.plan();
    if !made.changes.is_empty() {
        return Err("the plan is not at rest".into());
    }
    println!(
        "{tasks:>8}{nodes:>8}{:>11.1} ms{:>12.0}{:>12.1} ms",
        first.as_secs_f64() * 1e3,
        tasks as f64 / first.as_secs_f64(),
        again.as_secs_f64() * 1e3,
    );
    Ok(())
}

#[derive(Default)]
struct Swarm {
    state: State,
    observed: Observed,
    index: u64,
    ids: u128,
}

impl Swarm {
    fn apply(&mut self, command: Command) -> Result<(), Box<dyn Error>> {
        self.index += 1;
        self.state
            .apply(self.index, &Proposal { at: NOW, command })?;
        Ok(())
    }

    fn next_id(&mut self) -> Id {
        self.ids += 1;
        // Spread as random ids are.
        Id::from_u128(
            self.ids
                .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
        )
    }

    fn add_node(&mut self, number: u64) -> Result<(), Box<dyn Error>> {
        let id = self.next_id();
        let addr: SocketAddr = "10.0.0.1:2377".parse()?;
        let spec = NodeSpec {
            name: None,
            labels: [("zone".to_owned(), (number % 5).to_string())].into(),
            role: Role::Worker,
            availability: Availability::Active,
        };
        self.apply(Command::AddNode { id, spec, addr })?;
        let description = NodeDescription {
            hostname: format!("node-{number}"),
            resources: ResourceAmounts {
                nano_cpus: 8_000_000_000,
                memory_bytes: 16 << 30,
                pids: 0,
            },
            ..NodeDescription::default()
        };
        self.apply(Command::DescribeNode {
            id,
            description: Box::new(description),
            addr,
        })?;
        let seen = NodeObserved {
            health: NodeHealth::Ready,
            since: NOW,
        };
        self.observed.nodes.insert(id, seen);
        Ok(())
    }

    fn add_network(&mut self, number: u8) -> Result<Id, Box<dyn Error>> {
        let id = self.next_id();
        let config = IpamConfig {
            subnet: Some(IpNet::new([10, 64 + number * 8, 0, 0].into(), 13)?),
            ..IpamConfig::default()
        };
        let spec = Arc::new(NetworkSpec {
            name: format!("network-{number}"),
            ipam: IpamSpec {
                configs: vec![config],
                ..IpamSpec::default()
            },
            ..NetworkSpec::default()
        });
        let subnets = self.state.choose_subnets(&spec, &[])?;
        self.apply(Command::CreateNetwork { id, spec, subnets })?;
        Ok(id)
    }

    fn add_service(
        &mut self,
        number: u64,
        replicas: u64,
        networks: &[Id],
    ) -> Result<(), Box<dyn Error>> {
        let mut spec = ServiceSpec {
            name: format!("service-{number}"),
            mode: Mode::Replicated {
                replicas: Some(replicas),
            },
            ..ServiceSpec::default()
        };
        spec.task.container.image = "busybox".to_owned();
        spec.task.resources = Some(Resources {
            limits: None,
            reservations: Some(ResourceAmounts {
                nano_cpus: 100_000_000,
                memory_bytes: 64 << 20,
                pids: 0,
            }),
        });
        let attachment = |&target: &Id| NetworkAttachment {
            target,
            ..NetworkAttachment::default()
        };
        spec.task.networks = networks.iter().map(attachment).collect();
        let id = self.next_id();
        let spec = Arc::new(spec);
        self.apply(Command::CreateService { id, spec })
    }

    #[expect(clippy::disallowed_methods, reason = "this measures the pure code")]
    fn plan(&mut self) -> (Duration, Plan) {
        let Self {
            state,
            observed,
            ids,
            ..
        } = self;
        let mut source = || {
            *ids += 1;
            Id::from_u128(ids.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
        };
        let start = Instant::now();
        let made = plan(state, observed, NOW, &mut source);
        (start.elapsed(), made)
    }
}
