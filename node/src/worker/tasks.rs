//! All that the agent knows of its tasks, and what follows from it. Pure: it is
//! told what was assigned, what was seen and what time it is, and answers which
//! steps to take and which statuses changed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use services::object::{TaskState, TaskStatus};
use services::reconcile::{Actual, Assigned, LocalTask, Op, reconcile};
use services::{Assignment, Id, Timestamp};

use super::codec::Record;
use super::outcome;
use super::step::{Done, Step};
use crate::runtime::{Container, Exit, Health, Listed, Phase, RuntimeError};

/// How long to wait after the n-th failure of the same step.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    /// `None` until somebody said what is: nothing is stopped on a guess.
    assigned: Option<Assigned>,
    local: BTreeMap<Id, Local>,
    engine: Engine,
    /// Tasks whose status (or existence) changed since it was last taken.
    changed: BTreeSet<Id>,
    /// The record on disk is behind.
    unsaved: bool,
}

#[derive(Debug, Default)]
struct Engine {
    up: bool,
    instance: Option<String>,
    /// The instance in the last record; see the rule in `worker`.
    recorded: Option<String>,
}

/// A task as it is here.
#[derive(Debug)]
struct Local {
    /// How far it got, for `reconcile`. Behind `status` only when a container
    /// that ran must be started again.
    state: TaskState,
    status: TaskStatus,
    container: Option<String>,
    busy: Option<Busy>,
    /// Something happened to the container: inspect it before anything else.
    look: bool,
    /// Found on the engine and never inspected: nothing is known yet.
    found: bool,
    trust: Trust,
    /// Its health check failed: it is to be stopped and has failed.
    ill: bool,
    /// Not before; after a failure that is not the task's.
    hold: Option<Timestamp>,
    failures: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Busy {
    Prepare,
    Start,
    Stop,
    Remove,
    Inspect,
}

/// What an exited container would mean; see the rule in `worker`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// It ended by itself.
    Certain,
    /// The engine is out of sight; its return will tell.
    Doubtful,
    /// It fell with its engine.
    Fallen,
}

impl Local {
    fn accepted(now: Timestamp) -> Self {
        Self {
            state: TaskState::Accepted,
            status: outcome::accepted(now),
            container: None,
            busy: None,
            look: false,
            found: false,
            trust: Trust::Certain,
            ill: false,
            hold: None,
            failures: 0,
        }
    }

    fn found(container: String, trust: Trust, now: Timestamp) -> Self {
        Self {
            container: Some(container),
            look: true,
            found: true,
            trust,
            ..Self::accepted(now)
        }
    }

    fn ended(status: TaskStatus) -> Self {
        Self {
            state: status.state,
            container: status.container.as_ref().map(|it| it.id.clone()),
            status,
            ..Self::accepted(Timestamp::default())
        }
    }

    fn ran(&self) -> bool {
        matches!(self.state, TaskState::Starting | TaskState::Running)
    }

    fn free(&self, now: Timestamp) -> bool {
        self.busy.is_none() && self.hold.is_none_or(|until| until <= now)
    }

    fn pause(&mut self, now: Timestamp) {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        self.hold = Some(now + pause.min(LONGEST_PAUSE));
    }
}

/// What it is told.
impl Tasks {
    pub fn restore(record: Record) -> Self {
        let outcomes = record.outcomes;
        Self {
            assigned: Some(record.assigned),
            changed: outcomes.keys().copied().collect(),
            local: outcomes
                .into_iter()
                .map(|(id, status)| (id, Local::ended(status)))
                .collect(),
            engine: Engine {
                up: false,
                instance: record.instance.clone(),
                recorded: record.instance,
            },
            unsaved: false,
        }
    }

    pub fn assign_all(&mut self, assigned: Assigned) {
        self.unsaved |= self.assigned.as_ref() != Some(&assigned);
        self.assigned = Some(assigned);
    }

    /// `None` takes an assignment away. Before the first full set a change
    /// says nothing of the other tasks, and is left to that set.
    pub fn assign(&mut self, changes: BTreeMap<Id, Option<Assignment>>) {
        let Some(assigned) = &mut self.assigned else {
            return;
        };
        for (id, change) in changes {
            let before = match change.clone() {
                Some(assignment) => assigned.insert(id, assignment),
                None => assigned.remove(&id),
            };
            self.unsaved |= before != change;
        }
    }

    /// The engine is out of sight: nothing that it says counts until it is back.
    pub fn engine_lost(&mut self) {
        self.engine.up = false;
        for local in self.local.values_mut() {
            if local.ran() && local.trust == Trust::Certain {
                local.trust = Trust::Doubtful;
            }
        }
    }

    pub fn engine_found(&mut self, instance: Option<String>, listed: Vec<Listed>, now: Timestamp) {
        let same = match (&self.engine.instance, &instance) {
            (Some(before), Some(now)) => before == now,
            // Nothing to compare: trust a first sight, and no second one.
            _ => !self.local.values().any(|it| it.trust == Trust::Doubtful),
        };
        let trust = match same {
            true => Trust::Certain,
            false => Trust::Fallen,
        };
        self.engine.up = true;
        self.engine.instance = instance.or(self.engine.instance.take());
        for local in self.local.values_mut() {
            if local.trust == Trust::Doubtful || (!same && local.ran()) {
                local.trust = trust;
            }
            local.hold = None;
            local.look |= local.container.is_some() && !local.state.is_final();
        }
        self.listed_with(listed, trust, now);
    }

    /// A listing of the same engine, to find what no event told of.
    pub fn listed(&mut self, listed: Vec<Listed>, now: Timestamp) {
        if self.engine.up {
            self.listed_with(listed, Trust::Certain, now);
        }
    }

    fn listed_with(&mut self, listed: Vec<Listed>, trust: Trust, now: Timestamp) {
        let mut present = BTreeSet::new();
        for found in listed {
            present.insert(found.id.clone());
            let Some(local) = self.local.get_mut(&found.task) else {
                let local = Local::found(found.id, trust, now);
                self.local.insert(found.task, local);
                continue;
            };
            match &local.container {
                Some(known) if *known == found.id => {
                    local.look |= !local.state.is_final() && local.ran() != found.running;
                    // A health event may have been missed.
                    local.look |= local.state == TaskState::Starting;
                }
                Some(_) => {
                    tracing::warn!(task = %found.task, container = %found.id,
                        "a second container claims to be of this task; left alone");
                }
                None if local.busy.is_none() => {
                    local.container = Some(found.id);
                    local.look = !local.state.is_final();
                }
                None => {}
            }
        }
        for local in self.local.values_mut() {
            let gone = |id: &String| !present.contains(id);
            if local.busy.is_none() && local.container.as_ref().is_some_and(gone) {
                match local.state.is_final() {
                    true => local.container = None,
                    false => local.look = true,
                }
            }
        }
    }

    /// Something happened to this task's container.
    pub fn hint(&mut self, task: Id) {
        if let Some(local) = self.local.get_mut(&task)
            && local.container.is_some()
            && !local.state.is_final()
            // These end by looking, and are what happened.
            && !matches!(local.busy, Some(Busy::Stop | Busy::Remove))
        {
            local.look = true;
        }
    }

    /// A step of this task has ended.
    pub fn finish(&mut self, task: Id, done: Done, now: Timestamp) {
        let Some(local) = self.local.get_mut(&task) else {
            return;
        };
        let Some(busy) = local.busy.take() else {
            return;
        };
        local.hold = None;
        if !matches!(done, Done::Failed(_)) {
            local.failures = 0;
        }
        match done {
            Done::Created(container) => {
                local.container = Some(container.clone());
                local.state = TaskState::Ready;
                let mut status = outcome::moved(&local.status, TaskState::Ready, now);
                status.container = Some(services::object::ContainerStatus {
                    id: container,
                    ..Default::default()
                });
                self.set(task, status);
            }
            Done::Cancelled => {}
            Done::Seen(_) if !self.engine.up => local.look = local.container.is_some(),
            Done::Seen(seen) if busy == Busy::Stop => self.stopped(task, seen, now),
            Done::Seen(seen) => self.observe(task, seen, now),
            Done::Removed => self.forget(task),
            Done::Failed(error) => self.step_failed(task, busy, &error, now),
        }
    }
}

/// What follows.
impl Tasks {
    /// The steps to take now. Each task that gets one is busy until
    /// [`finish`](Self::finish).
    pub fn decide(&mut self, now: Timestamp) -> Vec<(Id, Step)> {
        let mut steps = Vec::new();
        if !self.engine.up {
            return steps;
        }
        for (&id, local) in &mut self.local {
            if let Some(container) = local.container.clone()
                && local.free(now)
            {
                if std::mem::take(&mut local.look) {
                    local.busy = Some(Busy::Inspect);
                    steps.push((id, Step::Inspect(container)));
                } else if local.ill && !local.state.is_final() {
                    local.busy = Some(Busy::Stop);
                    steps.push((id, Step::Stop(container, None)));
                }
            }
        }
        // What needs no engine is done at once and may allow the next step. It
        // ends: each such step accepts, ends or forgets a task for good.
        loop {
            let Some(assigned) = &self.assigned else {
                return steps;
            };
            let ops = reconcile(assigned, &self.actual(now));
            let before = steps.len();
            let asked = ops.len();
            steps.extend(ops.into_iter().filter_map(|op| self.begin(op, now)));
            if steps.len() - before == asked {
                return steps;
            }
        }
    }

    /// Tasks that are being prepared though nobody wants them any more.
    pub fn pointless(&self) -> Vec<Id> {
        let Some(assigned) = &self.assigned else {
            return Vec::new();
        };
        let wanted = |id| {
            let assignment = assigned.get(id);
            assignment.is_some_and(|it| it.desired <= TaskState::Running)
        };
        let preparing = self.local.iter();
        preparing
            .filter(|(id, local)| local.busy == Some(Busy::Prepare) && !wanted(id))
            .map(|(&id, _)| id)
            .collect()
    }

    /// When [`decide`](Self::decide) has something to do though nothing happens.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let waiting = self.local.values().filter(|local| local.busy.is_none());
        waiting.filter_map(|local| local.hold).min()
    }

    /// The statuses that changed; `None` is a task that is forgotten.
    pub fn take_changed(&mut self) -> Vec<(Id, Option<TaskStatus>)> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        changed
            .map(|id| (id, self.local.get(&id).map(|local| local.status.clone())))
            .collect()
    }

    /// What the disk must hold, if it does not.
    pub fn take_record(&mut self) -> Option<Record> {
        let assigned = self.assigned.as_ref()?;
        let fallen = self
            .local
            .values()
            .any(|local| !local.state.is_final() && local.trust != Trust::Certain);
        if self.engine.up && !fallen && self.engine.recorded != self.engine.instance {
            self.engine.recorded = self.engine.instance.clone();
            self.unsaved = true;
        }
        if !std::mem::take(&mut self.unsaved) {
            return None;
        }
        let ended = self
            .local
            .iter()
            .filter(|(id, local)| local.state.is_final() && assigned.contains_key(id));
        Some(Record {
            instance: self.engine.recorded.clone(),
            assigned: assigned.clone(),
            outcomes: ended
                .map(|(&id, local)| (id, local.status.clone()))
                .collect(),
        })
    }

    /// Nothing is left here, as far as the engine can be seen.
    pub fn is_clear(&self) -> bool {
        self.engine.up && self.local.is_empty()
    }
}

/// The transitions.
impl Tasks {
    fn actual(&self, now: Timestamp) -> Actual {
        let local = self.local.iter();
        local
            .map(|(&id, local)| {
                let task = LocalTask {
                    state: local.state,
                    busy: !local.free(now) || local.look,
                    has_container: local.container.is_some(),
                };
                (id, task)
            })
            .collect()
    }

    /// Begins what was decided; `None` if it is done at once.
    fn begin(&mut self, op: Op, now: Timestamp) -> Option<(Id, Step)> {
        match op {
            Op::Accept(id) => {
                self.local.insert(id, Local::accepted(now));
                self.changed.insert(id);
                None
            }
            Op::Prepare(id) => {
                let assignment = self.assigned.as_ref()?.get(&id)?.clone();
                let local = self.local.get_mut(&id)?;
                local.state = TaskState::Preparing;
                local.busy = Some(Busy::Prepare);
                let status = outcome::moved(&local.status, TaskState::Preparing, now);
                self.set(id, status);
                Some((id, Step::Prepare(assignment)))
            }
            Op::Start(id) => {
                let local = self.local.get_mut(&id)?;
                let Some(container) = local.container.clone() else {
                    self.end_with(id, TaskState::Failed, outcome::REMOVED.to_owned(), now);
                    return None;
                };
                local.state = TaskState::Starting;
                local.trust = Trust::Certain;
                local.busy = Some(Busy::Start);
                let status = outcome::moved(&local.status, TaskState::Starting, now);
                self.set(id, status);
                Some((id, Step::Start(container)))
            }
            Op::Stop(id) => {
                let assigned = self.assigned.as_ref().and_then(|all| all.get(&id));
                let grace = assigned.map(|it| it.spec.task.stop_grace());
                let local = self.local.get_mut(&id)?;
                let Some(container) = local.container.clone() else {
                    let status = outcome::moved(&local.status, TaskState::Shutdown, now);
                    self.end(id, status);
                    return None;
                };
                local.busy = Some(Busy::Stop);
                Some((id, Step::Stop(container, grace)))
            }
            Op::Remove(id) => {
                let local = self.local.get_mut(&id)?;
                let Some(container) = local.container.clone() else {
                    self.forget(id);
                    return None;
                };
                local.busy = Some(Busy::Remove);
                Some((id, Step::Remove(container)))
            }
        }
    }

    /// What inspecting the container showed.
    fn observe(&mut self, id: Id, seen: Option<Container>, now: Timestamp) {
        let Some(local) = self.local.get_mut(&id) else {
            return;
        };
        let found = std::mem::take(&mut local.found);
        let Some(seen) = seen.filter(|seen| seen.phase != Phase::Removing) else {
            local.container = None;
            if found {
                self.local.remove(&id);
            } else if !local.state.is_final() {
                self.end_with(id, TaskState::Failed, outcome::REMOVED.to_owned(), now);
            }
            return;
        };
        if local.state.is_final() {
            return;
        }
        match &seen.phase {
            Phase::Created => {
                local.state = TaskState::Ready;
                local.trust = Trust::Certain;
                if local.status.state < TaskState::Ready {
                    let status = outcome::moved(&local.status, TaskState::Ready, now);
                    self.set_seen(id, status, &seen);
                }
            }
            Phase::Running(health) => self.runs(id, *health, &seen, found, now),
            Phase::Exited(_) if local.trust == Trust::Fallen => {
                local.state = TaskState::Ready;
                local.ill = false;
                let status = outcome::moved(&local.status, TaskState::Starting, now);
                self.set_seen(id, status, &seen);
            }
            Phase::Exited(exit) => self.exited(id, exit, &seen, now),
            Phase::Removing => {}
        }
    }

    fn runs(&mut self, id: Id, health: Health, seen: &Container, found: bool, now: Timestamp) {
        let Some(local) = self.local.get_mut(&id) else {
            return;
        };
        local.trust = Trust::Certain;
        local.ill = health == Health::Unhealthy;
        let well = matches!(health, Health::Unchecked | Health::Healthy);
        local.state = match well || (local.state == TaskState::Running) {
            true => TaskState::Running,
            false => TaskState::Starting,
        };
        let since = match (found, health) {
            (true, _) | (_, Health::Unchecked) => seen.started.unwrap_or(now),
            _ => now,
        };
        let status = outcome::moved(&local.status, local.state, since);
        self.set_seen(id, status, seen);
    }

    fn exited(&mut self, id: Id, exit: &Exit, seen: &Container, now: Timestamp) {
        let Some(local) = self.local.get_mut(&id) else {
            return;
        };
        let at = exit.at.unwrap_or(now);
        let mut status = match outcome::exit_error(exit) {
            _ if local.ill => {
                let error = outcome::unhealthy_error(exit);
                outcome::failed(&local.status, TaskState::Failed, at, error)
            }
            Some(error) => outcome::failed(&local.status, TaskState::Failed, at, error),
            None => outcome::moved(&local.status, TaskState::Complete, at),
        };
        outcome::describe(&mut status, seen);
        self.end(id, status);
    }

    /// The engine says that it has stopped the container.
    fn stopped(&mut self, id: Id, seen: Option<Container>, now: Timestamp) {
        let Some(local) = self.local.get_mut(&id) else {
            return;
        };
        if let Some(seen) = &seen {
            match &seen.phase {
                Phase::Running(_) => {
                    tracing::warn!(task = %id, "the engine stopped a container that still runs");
                    local.pause(now);
                    return;
                }
                Phase::Exited(exit) if local.ill => {
                    let exit = exit.clone();
                    self.exited(id, &exit, seen, now);
                    return;
                }
                _ => {}
            }
        } else {
            local.container = None;
        }
        let mut status = match local.ill {
            true => {
                let error = outcome::REMOVED.to_owned();
                outcome::failed(&local.status, TaskState::Failed, now, error)
            }
            false => outcome::moved(&local.status, TaskState::Shutdown, now),
        };
        if let Some(seen) = &seen {
            outcome::describe(&mut status, seen);
        }
        self.end(id, status);
    }

    fn step_failed(&mut self, id: Id, busy: Busy, error: &RuntimeError, now: Timestamp) {
        let Some(local) = self.local.get_mut(&id) else {
            return;
        };
        match busy {
            _ if error.is_unavailable() => {
                local.look = local.container.is_some();
                local.pause(now);
            }
            Busy::Prepare => self.end_with(id, TaskState::Rejected, error.to_string(), now),
            Busy::Start => self.end_with(id, TaskState::Failed, outcome::start_error(error), now),
            Busy::Stop | Busy::Remove | Busy::Inspect => {
                tracing::warn!(task = %id, %error, "will be tried again");
                local.look |= busy == Busy::Inspect;
                local.pause(now);
            }
        }
    }

    fn end_with(&mut self, id: Id, state: TaskState, error: String, now: Timestamp) {
        if let Some(local) = self.local.get(&id) {
            let status = outcome::failed(&local.status, state, now, error);
            self.end(id, status);
        }
    }

    /// The attempt is over; its status is final and goes to disk.
    fn end(&mut self, id: Id, status: TaskStatus) {
        if let Some(local) = self.local.get_mut(&id) {
            local.state = status.state;
            local.look = false;
            local.found = false;
            local.status = status;
            self.changed.insert(id);
            self.unsaved |= self
                .assigned
                .as_ref()
                .is_some_and(|all| all.contains_key(&id));
        }
    }

    fn set_seen(&mut self, id: Id, mut status: TaskStatus, seen: &Container) {
        outcome::describe(&mut status, seen);
        self.set(id, status);
    }

    /// Notes a status, if it says anything new but the time.
    fn set(&mut self, id: Id, status: TaskStatus) {
        if let Some(local) = self.local.get_mut(&id) {
            let same = TaskStatus {
                at: local.status.at,
                ..status.clone()
            };
            if same != local.status {
                local.status = status;
                self.changed.insert(id);
            }
        }
    }

    fn forget(&mut self, id: Id) {
        self.local.remove(&id);
        self.changed.insert(id);
    }
}
