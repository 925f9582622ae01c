//! Whole agents on an engine in memory.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use services::object::{TaskState, TaskStatus};
use services::spec::ServiceSpec;
use tempfile::TempDir;

use super::*;
use crate::runtime::fake::{Call, FakeRuntime, Kind};
use crate::runtime::{Health, Phase};
use crate::worker::links::fake::FakeLinks;
use crate::worker::testing;

mod files;
mod overlay;

const IMAGE: &str = "busybox:latest";
const PATIENCE: Duration = Duration::from_secs(20);

fn id(number: u128) -> Id {
    Id::from_u128(number)
}

fn assignment(number: u128, desired: TaskState) -> Assignment {
    let mut spec = ServiceSpec {
        name: "web".into(),
        ..Default::default()
    };
    spec.task.container.image = IMAGE.into();
    spec.task.container.stop_grace = Some(Duration::from_secs(3));
    Assignment {
        service: id(99),
        desired,
        ..testing::assignment(id(number), spec)
    }
}

fn set(assignments: impl IntoIterator<Item = Assignment>) -> BTreeMap<Id, Assignment> {
    let assignments = assignments.into_iter();
    assignments.map(|it| (it.task, it)).collect()
}

fn running(numbers: impl IntoIterator<Item = u128>) -> BTreeMap<Id, Assignment> {
    let numbers = numbers.into_iter();
    set(numbers.map(|number| assignment(number, TaskState::Running)))
}

/// A node: its disk, its engine and its daemon.
struct Node {
    config: AgentConfig,
    directory: watch::Sender<Arc<Directory>>,
    dir: TempDir,
    runtime: FakeRuntime,
    links: FakeLinks,
    agent: Agent,
    statuses: Statuses,
    /// As the reports told.
    known: BTreeMap<Id, TaskStatus>,
}

impl Node {
    async fn boot() -> Self {
        let runtime = FakeRuntime::default();
        runtime.add_image(IMAGE);
        let dir = tempfile::tempdir().unwrap();
        let links = FakeLinks::default();
        let directory = watch::Sender::default();
        let config = AgentConfig {
            node: id(7),
            dir: dir.path().to_owned(),
            data_key: DataKey::generate().unwrap(),
            links: Arc::new(links.clone()),
            files: TaskFiles::in_directory(&dir.path().join("tasks")),
            data_addr: None,
            directory: directory.subscribe(),
        };
        let agent = start(&config, &runtime).await;
        Self {
            statuses: agent.statuses(),
            config,
            directory,
            dir,
            runtime,
            links,
            agent,
            known: BTreeMap::new(),
        }
    }

    /// With a running task 1.
    async fn boot_running() -> Self {
        let mut node = Self::boot().await;
        node.agent.assign_all(running([1]));
        node.reaches(1, TaskState::Running).await;
        node
    }

    async fn restart_daemon(&mut self) {
        self.agent.shutdown().await;
        self.agent = start(&self.config, &self.runtime).await;
        self.statuses = self.agent.statuses();
        self.known.clear();
    }

    /// Waits until the task was reported in this state.
    async fn reaches(&mut self, number: u128, state: TaskState) -> TaskStatus {
        let wait = async {
            loop {
                if let Some(status) = self.known.get(&id(number))
                    && status.state == state
                {
                    return status.clone();
                }
                let changed = self.statuses.changed().await;
                self.known.extend(changed);
            }
        };
        let reached = tokio::time::timeout(PATIENCE, wait).await;
        reached.unwrap_or_else(|_| panic!("not {state:?}: {:?}", self.known))
    }

    /// Waits until the task was reported with this error.
    async fn explains(&mut self, number: u128, text: &str) {
        let wait = async {
            while self.known.get(&id(number)).map(error) != Some(text) {
                let changed = self.statuses.changed().await;
                self.known.extend(changed);
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap();
    }

    async fn engine_is(&self, ready: bool) {
        let mut engine = self.agent.engine();
        let wait = engine.wait_for(|state| matches!(state, EngineState::Ready(_)) == ready);
        tokio::time::timeout(PATIENCE, wait).await.unwrap().unwrap();
    }

    fn count(&self, call: &Call) -> usize {
        self.runtime.calls().iter().filter(|it| *it == call).count()
    }

    /// Everything that changes something, in order.
    fn changes(&self) -> Vec<Call> {
        let calls = self.runtime.calls().into_iter();
        calls
            .filter(|call| !matches!(call, Call::Inspect(_)))
            .collect()
    }
}

async fn start(config: &AgentConfig, runtime: &FakeRuntime) -> Agent {
    let runtime = Arc::new(runtime.clone());
    Agent::start(config.clone(), runtime).await.unwrap()
}

fn error(status: &TaskStatus) -> &str {
    status.error.as_deref().unwrap_or_default()
}

#[tokio::test]
async fn an_assigned_task_runs() {
    let mut node = Node::boot_running().await;
    let status = node.reaches(1, TaskState::Running).await;
    assert_eq!(status.message, "started");
    let container = node.runtime.container(id(1)).unwrap();
    assert_eq!(status.container.unwrap().id, container.id);
    assert_eq!(status.started, container.started);
    assert_eq!(node.changes(), [Call::Create(id(1)), Call::Start(id(1))]);
    assert_eq!(node.count(&Call::Inspect(id(1))), 1);
}

#[tokio::test]
async fn a_task_that_shall_be_ready_is_created_and_waits_to_be_started() {
    let mut node = Node::boot().await;
    node.agent
        .assign_all(set([assignment(1, TaskState::Ready)]));
    node.reaches(1, TaskState::Ready).await;
    assert_eq!(node.changes(), [Call::Create(id(1))]);
    node.agent
        .assign_delta(vec![assignment(1, TaskState::Running)], vec![]);
    node.reaches(1, TaskState::Running).await;
}

#[tokio::test]
async fn a_restarted_daemon_adopts_what_runs() {
    let mut node = Node::boot_running().await;
    let before = node.reaches(1, TaskState::Running).await;
    node.restart_daemon().await;
    let after = node.reaches(1, TaskState::Running).await;
    assert_eq!(before, after);
    assert_eq!(node.changes(), [Call::Create(id(1)), Call::Start(id(1))]);
}

#[tokio::test]
async fn a_task_that_ended_while_the_daemon_was_away_has_its_own_outcome() {
    let mut node = Node::boot().await;
    node.agent.assign_all(running([1, 2]));
    node.reaches(1, TaskState::Running).await;
    node.reaches(2, TaskState::Running).await;
    node.agent.shutdown().await;
    node.runtime.exit(id(1), 3);
    node.runtime.exit(id(2), 0);
    node.restart_daemon().await;
    let status = node.reaches(1, TaskState::Failed).await;
    assert_eq!(error(&status), "task: non-zero exit (3)");
    assert_eq!(status.container.unwrap().exit_code, 3);
    node.reaches(2, TaskState::Complete).await;
    assert_eq!(node.count(&Call::Start(id(1))), 1);
}

#[tokio::test]
async fn after_a_power_cut_the_same_container_starts_without_a_manager() {
    let mut node = Node::boot_running().await;
    node.agent.shutdown().await;
    let container = node.runtime.container(id(1)).unwrap().id;
    node.runtime.go_down(255);
    node.runtime.come_up();
    node.restart_daemon().await;
    node.reaches(1, TaskState::Running).await;
    assert_eq!(node.runtime.container(id(1)).unwrap().id, container);
    let start = Call::Start(id(1));
    assert_eq!(
        node.changes(),
        [Call::Create(id(1)), start.clone(), start.clone()]
    );
    // And its own end afterwards is its own.
    node.runtime.exit(id(1), 255);
    node.reaches(1, TaskState::Failed).await;
    assert_eq!(node.count(&start), 2);
}

#[tokio::test]
async fn a_task_that_never_ran_starts_after_a_power_cut_as_well() {
    let mut node = Node::boot().await;
    node.runtime.hold(Kind::Start);
    node.agent.assign_all(running([1]));
    node.runtime.called(&Call::Start(id(1))).await;
    node.agent.shutdown().await;
    node.runtime.go_down(255);
    node.runtime.come_up();
    node.runtime.release(Kind::Start);
    node.restart_daemon().await;
    node.reaches(1, TaskState::Running).await;
    assert_eq!(node.count(&Call::Create(id(1))), 1);
}

#[tokio::test]
async fn an_engine_that_restarts_gets_its_tasks_back() {
    let mut node = Node::boot_running().await;
    node.engine_is(true).await;
    node.runtime.go_down(143);
    node.engine_is(false).await;
    node.runtime.come_up();
    node.engine_is(true).await;
    node.known.clear();
    let status = node.reaches(1, TaskState::Running).await;
    assert_eq!(error(&status), "");
    assert_eq!(node.count(&Call::Start(id(1))), 2);
    assert_eq!(node.count(&Call::Create(id(1))), 1);
}

#[tokio::test]
async fn a_broken_connection_is_no_restarted_engine() {
    let mut node = Node::boot_running().await;
    node.runtime.disconnect();
    node.runtime.exit(id(1), 1);
    let status = node.reaches(1, TaskState::Failed).await;
    assert_eq!(error(&status), "task: non-zero exit (1)");
    assert_eq!(node.count(&Call::Start(id(1))), 1);
}

#[tokio::test]
async fn a_recorded_failure_is_not_run_again_by_a_reboot() {
    let mut node = Node::boot_running().await;
    node.runtime.exit(id(1), 1);
    let failed = node.reaches(1, TaskState::Failed).await;
    node.agent.shutdown().await;
    node.runtime.go_down(255);
    node.runtime.come_up();
    node.restart_daemon().await;
    assert_eq!(node.reaches(1, TaskState::Failed).await, failed);
    node.engine_is(true).await;
    node.agent.assign_all(running([1, 2]));
    node.reaches(2, TaskState::Running).await;
    assert_eq!(node.count(&Call::Start(id(1))), 1);
}

#[tokio::test]
async fn a_stopped_task_has_its_services_grace() {
    let mut node = Node::boot_running().await;
    node.agent
        .assign_delta(vec![assignment(1, TaskState::Shutdown)], vec![]);
    let status = node.reaches(1, TaskState::Shutdown).await;
    assert_eq!(status.message, "shutdown");
    assert_eq!(status.container.unwrap().exit_code, 143);
    let stop = Call::Stop(id(1), Some(Duration::from_secs(3)));
    assert_eq!(node.count(&stop), 1);
    // It is kept, for its logs, until it is assigned no more.
    assert!(node.runtime.container(id(1)).is_some());
    node.agent.assign_delta(vec![], vec![id(1)]);
    node.runtime.called(&Call::Remove(id(1))).await;
}

#[tokio::test]
async fn a_task_that_is_unassigned_is_stopped_removed_and_forgotten() {
    let node = Node::boot_running().await;
    node.agent.assign_all(BTreeMap::new());
    node.runtime.called(&Call::Remove(id(1))).await;
    let stop = Call::Stop(id(1), None);
    assert_eq!(node.count(&stop), 1);
    node.agent.remove_all().await.unwrap();
    assert!(node.runtime.container(id(1)).is_none());
    assert!(node.agent.statuses().snapshot().is_empty());
}

#[tokio::test]
async fn a_task_nobody_prepares_any_more_gives_up_its_pull() {
    let mut node = Node::boot().await;
    let mut task = assignment(1, TaskState::Running);
    let mut spec = ServiceSpec::clone(&task.spec);
    spec.task.container.image = "far/away:1".into();
    task.spec = spec.into();
    node.runtime.hold(Kind::Pull);
    node.agent.assign_all(set([task.clone()]));
    node.runtime.called(&Call::Pull("far/away:1".into())).await;
    task.desired = TaskState::Shutdown;
    node.agent.assign_delta(vec![task], vec![]);
    node.reaches(1, TaskState::Shutdown).await;
}

#[tokio::test]
async fn an_image_that_is_nowhere_is_a_rejected_task() {
    let mut node = Node::boot().await;
    let refusal = RuntimeError::ImageMissing("No such image: nope:latest".into());
    node.runtime.refuse(Kind::Create, refusal);
    node.agent.assign_all(running([1]));
    let status = node.reaches(1, TaskState::Rejected).await;
    assert!(error(&status).starts_with("No such image: nope:latest (pull access denied"));
    assert_eq!(status.message, "preparing");
}

#[tokio::test]
async fn a_taken_port_is_a_failed_task() {
    let mut node = Node::boot().await;
    let text = "Bind for 0.0.0.0:8080 failed: port is already allocated";
    node.runtime
        .refuse(Kind::Start, RuntimeError::PortTaken(text.into()));
    node.agent.assign_all(running([1]));
    let status = node.reaches(1, TaskState::Failed).await;
    assert_eq!(error(&status), text);
    assert_eq!(status.message, "starting");
}

#[tokio::test]
async fn a_container_removed_by_hand_is_a_failed_task() {
    let mut node = Node::boot_running().await;
    node.runtime.remove_by_hand(id(1));
    let status = node.reaches(1, TaskState::Failed).await;
    assert_eq!(error(&status), "container was removed");
    assert_eq!(status.container.unwrap().pid, 0);
}

#[tokio::test]
async fn a_checked_task_runs_when_it_is_healthy_and_fails_when_it_is_not() {
    let mut node = Node::boot().await;
    node.runtime.check_health();
    node.agent.assign_all(running([1]));
    node.reaches(1, TaskState::Starting).await;
    // Its first answer is in: it was started, and is not running yet.
    node.runtime.called(&Call::Inspect(id(1))).await;
    node.runtime.set_health(id(1), Health::Healthy);
    node.reaches(1, TaskState::Running).await;
    node.runtime.set_health(id(1), Health::Unhealthy);
    let status = node.reaches(1, TaskState::Failed).await;
    assert_eq!(
        error(&status),
        "task: non-zero exit (143): dockerexec: unhealthy container"
    );
    let container = node.runtime.container(id(1)).unwrap();
    assert!(matches!(container.phase, Phase::Exited(_)));
}

#[tokio::test]
async fn an_engine_that_is_away_blames_no_task() {
    let mut node = Node::boot().await;
    node.runtime
        .refuse(Kind::Create, RuntimeError::Unavailable("busy".into()));
    node.agent.assign_all(running([1]));
    node.runtime.called(&Call::Create(id(1))).await;
    node.runtime.allow(Kind::Create);
    node.reaches(1, TaskState::Running).await;
}

#[tokio::test]
async fn an_engine_that_goes_during_a_start_blames_no_task() {
    let mut node = Node::boot().await;
    node.runtime.hold(Kind::Start);
    node.agent.assign_all(running([1]));
    node.runtime.called(&Call::Start(id(1))).await;
    node.runtime.go_down(255);
    node.engine_is(false).await;
    node.runtime.release(Kind::Start);
    node.runtime.come_up();
    let status = node.reaches(1, TaskState::Running).await;
    assert_eq!(error(&status), "");
}

#[tokio::test]
async fn an_engine_that_is_late_is_waited_for() {
    let mut node = Node::boot_running().await;
    node.runtime.go_down(255);
    node.restart_daemon().await;
    node.engine_is(false).await;
    node.runtime.come_up();
    node.reaches(1, TaskState::Running).await;
}

#[tokio::test]
async fn without_a_record_nothing_is_stopped_until_the_manager_has_spoken() {
    let mut node = Node::boot_running().await;
    node.agent.shutdown().await;
    let file = node.dir.path().join("assignments");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    node.restart_daemon().await;
    // Adopted and reported, though nobody knows what it is.
    node.reaches(1, TaskState::Running).await;
    assert!(node.dir.path().join("assignments.damaged").exists());
    assert_eq!(node.changes(), [Call::Create(id(1)), Call::Start(id(1))]);
    node.agent.assign_all(running([2]));
    node.runtime.called(&Call::Remove(id(1))).await;
    node.reaches(2, TaskState::Running).await;
}

#[tokio::test]
async fn what_is_said_twice_is_written_once() {
    let mut node = Node::boot_running().await;
    node.restart_daemon().await;
    node.reaches(1, TaskState::Running).await;
    let file = node.dir.path().join("assignments");
    // Sealed afresh each time: a second writing would differ.
    let bytes = std::fs::read(&file).unwrap();
    node.agent.assign_all(running([1]));
    node.agent
        .assign_delta(vec![assignment(1, TaskState::Running)], vec![id(7)]);
    node.restart_daemon().await;
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
}

#[tokio::test]
async fn a_task_has_one_step_at_a_time() {
    let mut node = Node::boot().await;
    for round in 0..30 {
        let desired = match round % 3 {
            0 => TaskState::Ready,
            1 => TaskState::Running,
            _ => TaskState::Shutdown,
        };
        let tasks = (1..=20).map(|task| assignment(task + 20 * (round / 3), desired));
        node.agent.assign_all(set(tasks));
        if round % 4 == 0 {
            node.runtime.disconnect();
        }
        for task in 1..=20 {
            node.runtime
                .set_health(id(task + 20 * (round / 3)), Health::Healthy);
            node.runtime.exit(id(task), 1);
        }
        tokio::task::yield_now().await;
    }
    node.agent.assign_all(running([1000]));
    node.reaches(1000, TaskState::Running).await;
    node.agent.remove_all().await.unwrap();
    assert_eq!(node.runtime.most_at_once(), 1);
}

#[tokio::test]
async fn leaving_removes_every_container() {
    let mut node = Node::boot().await;
    node.agent.assign_all(running(1..=5));
    for task in 1..=5 {
        node.reaches(task, TaskState::Running).await;
    }
    node.agent.remove_all().await.unwrap();
    for task in 1..=5 {
        assert!(node.runtime.container(id(task)).is_none());
        assert_eq!(node.count(&Call::Stop(id(task), None)), 1);
    }
}

#[tokio::test]
async fn who_leaves_takes_nothing_on() {
    let mut node = Node::boot().await;
    node.agent.assign_all(running(1..=3));
    node.reaches(1, TaskState::Running).await;
    let agent = node.agent.clone();
    let left = tokio::spawn(async move { agent.remove_all().await });
    // A manager that does not know yet says once more what should run here.
    while !left.is_finished() {
        node.agent.assign_all(running(1..=3));
        tokio::task::yield_now().await;
    }
    left.await.unwrap().unwrap();
    for task in 1..=3 {
        assert!(node.runtime.container(id(task)).is_none());
    }
}

#[tokio::test]
async fn leaving_without_an_engine_says_that_containers_stay() {
    let node = Node::boot_running().await;
    node.runtime.go_down(255);
    node.engine_is(false).await;
    let refused = node.agent.remove_all().await.unwrap_err();
    assert!(matches!(refused, AgentError::EngineUnavailable(_)));
}

#[tokio::test]
async fn a_task_that_cannot_be_removed_is_tried_again() {
    let node = Node::boot_running().await;
    let busy = RuntimeError::Refused("device or resource busy".into());
    node.runtime.refuse(Kind::Remove, busy);
    node.agent.assign_all(BTreeMap::new());
    node.runtime.called(&Call::Remove(id(1))).await;
    node.runtime.allow(Kind::Remove);
    node.agent.remove_all().await.unwrap();
    assert!(node.runtime.container(id(1)).is_none());
}

#[tokio::test]
async fn the_logs_are_those_of_the_tasks_container() {
    let node = Node::boot_running().await;
    let options = LogOptions::default();
    let mut logs = node.agent.logs(id(1), &options).await.unwrap();
    let container = node.runtime.container(id(1)).unwrap();
    assert_eq!(logs.next().await.unwrap().unwrap().data, container.id);
    let unknown = node.agent.logs(id(2), &options).await.err().unwrap();
    assert!(matches!(unknown, RuntimeError::ContainerMissing(_)));
}
