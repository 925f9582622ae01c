//! All that the agent knows of its tasks, and what follows from it. Pure: it is
//! told what was assigned, what was seen and what time it is, and answers which
//! steps to take and which statuses changed.

use std::collections::{BTreeMap, BTreeSet};

use services::object::{TaskState, TaskStatus};
use services::reconcile::{Actual, Assigned, LocalTask, reconcile};
use services::{Assignment, Id, Timestamp};

mod local;
mod transitions;

use local::{Busy, Local, Trust};

use super::codec::Record;
use super::endpoints::{Linked, Links, Stage};
use super::step::{Done, Step};
use crate::runtime::Listed;

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
    /// It was found, or found to be away.
    asked: bool,
    /// It was found.
    seen: bool,
    up: bool,
    instance: Option<String>,
    /// The instance in the last record; see the rule in `worker`.
    recorded: Option<String>,
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
                asked: false,
                seen: false,
                up: false,
                instance: record.instance.clone(),
                recorded: record.instance,
            },
            unsaved: false,
        }
    }

    pub fn assign_all(&mut self, assigned: Assigned) {
        self.unsaved |= self.assigned.as_ref() != Some(&assigned);
        let mut before = self.assigned.replace(assigned).unwrap_or_default();
        let ids: Vec<Id> = self.local.keys().copied().collect();
        for id in ids {
            self.reassigned(id, before.remove(&id));
        }
    }

    /// `None` takes an assignment away. Before the first full set a change
    /// says nothing of the other tasks, and is left to that set.
    pub fn assign(&mut self, changes: BTreeMap<Id, Option<Assignment>>) {
        for (id, change) in changes {
            let Some(assigned) = &mut self.assigned else {
                return;
            };
            let before = match change.clone() {
                Some(assignment) => assigned.insert(id, assignment),
                None => assigned.remove(&id),
            };
            self.unsaved |= before != change;
            self.reassigned(id, before);
        }
    }

    /// What is assigned to the task has changed from `before`.
    fn reassigned(&mut self, id: Id, before: Option<Assignment>) {
        let Some(local) = self.local.get_mut(&id) else {
            return;
        };
        match self.assigned.as_ref().and_then(|all| all.get(&id)) {
            Some(assignment) => {
                local.left = None;
                local.drained = local
                    .drained
                    .filter(|_| assignment.desired > TaskState::Running);
            }
            None => local.left = before.or(local.left.take()),
        }
    }

    /// The engine is out of sight: nothing that it says counts until it is back.
    pub fn engine_lost(&mut self) {
        self.engine.asked = true;
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
        self.engine.asked = true;
        self.engine.seen = true;
        self.engine.up = true;
        self.engine.instance = instance.or(self.engine.instance.take());
        for local in self.local.values_mut() {
            if local.trust == Trust::Doubtful || (!same && local.ran()) {
                local.trust = trust;
            }
            local.hold.lift();
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
        local.hold.lift();
        // Having looked is no progress of what failed before.
        if !matches!(done, Done::Failed(_)) && busy != Busy::Inspect {
            local.hold.succeeded();
        }
        match done {
            Done::Created(container) => self.created(task, container, now),
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
        // ends: each such step accepts, drains, ends or forgets a task for good.
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
        if !self.engine.up {
            return None;
        }
        let waiting = self.local.values().filter(|local| local.busy.is_none());
        let deadlines = waiting.flat_map(|local| {
            let drained = local.drained.filter(|_| local.serves());
            [local.hold.until(), drained]
        });
        deadlines.flatten().min()
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

    /// The networks that tasks of this node are on, or were; `None` until
    /// somebody said what is.
    pub fn networks(&self) -> Option<BTreeSet<Id>> {
        let left = self.local.values().filter_map(|local| local.left.as_ref());
        let tasks = self.assigned.as_ref()?.values().chain(left);
        Some(tasks.flat_map(|it| &it.networks).map(|it| it.id).collect())
    }

    /// Whose files are to stay; `None` until all that is here has been seen.
    pub fn with_files(&self) -> Option<BTreeSet<Id>> {
        if !self.engine.seen || !self.is_oriented() {
            return None;
        }
        let goes_on = |local: &Local| local.busy.is_some() || !local.state.is_final();
        let tasks = self.local.iter().filter(|(_, local)| goes_on(local));
        Some(tasks.map(|(&id, _)| id).collect())
    }

    pub fn engine_is_up(&self) -> bool {
        self.engine.up
    }

    /// Nothing is left here, as far as the engine can be seen.
    pub fn is_clear(&self) -> bool {
        self.engine.up && self.local.is_empty()
    }

    /// What the overlay must hear.
    pub fn links(&self) -> Links {
        let assigned = self.assigned.iter().flatten();
        let assigned = assigned.map(|(&id, assignment)| {
            let open = assignment.desired <= TaskState::Running;
            let stage = match self.local.get(&id) {
                Some(local) => local.stage(open),
                None if self.engine.seen => Stage::Bare,
                // Containers outlive an engine. The overlay knows their links.
                None if open => Stage::Open,
                None => Stage::Closed,
            };
            Linked { assignment, stage }
        });
        let left = self.local.values().filter_map(|local| {
            let assignment = local.left.as_ref()?;
            let stage = local.stage(false);
            Some(Linked { assignment, stage })
        });
        assigned.chain(left).collect()
    }

    /// Whether all that was here before has been seen, or cannot be.
    pub fn is_oriented(&self) -> bool {
        self.engine.asked && !self.local.values().any(|local| local.found)
    }

    fn actual(&self, now: Timestamp) -> Actual {
        let local = self.local.iter();
        local
            .map(|(&id, local)| {
                let task = LocalTask {
                    state: local.state,
                    busy: !local.free(now) || local.look || local.drains(now),
                    has_container: local.container.is_some(),
                };
                (id, task)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
