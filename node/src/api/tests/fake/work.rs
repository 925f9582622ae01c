//! What the nodes do: tasks start, run and end.

use std::sync::Arc;

use services::object::{
    ContainerStatus, NodeDescription, PublishedPort, TaskState, TaskStatus, UpdateState,
};
use services::{Command, Id, NodeHealth, NodeObserved, Timestamp};

use super::Swarm;

/// Plans that an update of a few tasks takes, several times over.
const MANY: usize = 200;

impl Swarm {
    pub fn see(&mut self, node: Id, health: NodeHealth) {
        let since = Timestamp::default();
        self.observed
            .nodes
            .insert(node, NodeObserved { health, since });
    }

    /// What the engine of the one node has.
    pub fn describe_plugins(&mut self, plugins: &[(String, String)]) {
        let node = self.state.nodes().next().unwrap();
        let (id, addr) = (node.id, node.addr);
        let description = NodeDescription {
            plugins: plugins.to_vec(),
            ..node.description.clone().unwrap()
        };
        self.apply(Command::DescribeNode {
            id,
            description: Box::new(description),
            addr,
        })
        .unwrap();
    }

    /// Every task that is on a node runs.
    pub fn run_all(&mut self) {
        self.plan();
        let assigned = self.state.tasks().filter(|task| task.node.is_some());
        let running: Vec<_> = assigned.map(|task| task.id).collect();
        for id in running {
            self.tell(id, TaskState::Running, "started");
        }
    }

    pub fn tell(&mut self, task: Id, state: TaskState, message: &str) {
        self.told += 1;
        let container = ContainerStatus {
            id: "08aaa6bfa795".into(),
            pid: if state == TaskState::Running {
                24_800
            } else {
                0
            },
            exit_code: 0,
            oom_killed: false,
        };
        let status = TaskStatus {
            state,
            at: Timestamp(1_795_215_742_201_842_140),
            message: message.into(),
            error: None,
            container: Some(container),
            ports: self.published(task),
            started: None,
        };
        self.observed.tasks.insert(task, status);
    }

    /// As its engine would publish them.
    fn published(&self, task: Id) -> Vec<PublishedPort> {
        let spec = self.state.task(task).map(|task| Arc::clone(&task.spec));
        let ports = spec.iter().flat_map(|spec| spec.host_ports());
        ports
            .map(|port| PublishedPort {
                protocol: port.protocol,
                target: port.target,
                published: port.published,
                host_ip: port.host_ip,
            })
            .collect()
    }

    /// Every task of a job that runs ends well.
    pub fn end_jobs(&mut self) {
        let jobs = self.state.tasks().filter(|task| task.spec.mode.is_job());
        let jobs: Vec<Id> = jobs.map(|task| task.id).collect();
        for id in jobs {
            self.tell(id, TaskState::Complete, "finished");
        }
        self.plan();
    }

    /// Every task that is to stop has stopped.
    pub fn stop_unwanted(&mut self) {
        self.plan();
        let tasks = self.state.tasks();
        let unwanted = tasks.filter(|task| task.desired > TaskState::Running);
        let unwanted: Vec<Id> = unwanted.map(|task| task.id).collect();
        for id in unwanted {
            self.tell(id, TaskState::Shutdown, "shutdown");
        }
        self.plan();
    }

    /// Every task of the service ends well.
    pub fn end_tasks_of(&mut self, service: Id) {
        let tasks = self.state.tasks_of_service(service);
        let tasks: Vec<Id> = tasks.map(|task| task.id).collect();
        for id in tasks {
            self.tell(id, TaskState::Complete, "finished");
        }
        self.plan();
    }

    /// Every node does what it is told.
    pub fn obey(&mut self) {
        self.plan();
        let tasks = self.state.tasks().filter(|task| task.node.is_some());
        let told: Vec<_> = tasks.map(|task| (task.id, task.desired)).collect();
        for (id, desired) in told {
            match desired {
                TaskState::Running => self.tell(id, TaskState::Running, "started"),
                desired if desired > TaskState::Running => {
                    self.tell(id, TaskState::Shutdown, "shutdown");
                }
                _ => {}
            }
        }
        // Time passes with the log.
        self.index += 1;
        self.plan();
    }

    /// The nodes do what they are told until no service is updated any more.
    pub fn roll_out(&mut self) {
        for _ in 0..MANY {
            self.obey();
            let mut updates = self.state.services().filter_map(|it| it.update.as_ref());
            if updates.all(|update| update.state == UpdateState::Completed) {
                return;
            }
        }
        panic!("the update does not end: {:?}", self.state);
    }
}
