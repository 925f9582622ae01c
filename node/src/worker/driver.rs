//! The agent's one task: it owns what is known, takes in what is assigned and
//! seen, and performs what follows. Everything that decides is in `tasks`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use services::directory::Directory;
use services::reconcile::Assigned;
use services::{Assignment, Id};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{self, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::codec::Record;
use super::endpoints;
use super::engine::Seen;
use super::links::{Endpoints, Expected, Resolvers};
use super::networks::{self, Upkeep};
use super::statuses::Board;
use super::step::{self, Done, Tools};
use super::tasks::Tasks;
use crate::clock;
use crate::disk::kept::Writer;
use crate::runtime::{self, RuntimeError};

/// Assignments on their way to the agent. Merged, so that it is never larger
/// than the assignments themselves.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    news: Mutex<News>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct News {
    all: Option<Assigned>,
    changes: BTreeMap<Id, Option<Assignment>>,
}

impl Inbox {
    pub fn assign_all(&self, assigned: Assigned) {
        self.put(|news| {
            news.all = Some(assigned);
            news.changes.clear();
        });
    }

    pub fn assign_delta(&self, changed: Vec<Assignment>, removed: Vec<Id>) {
        self.put(|news| {
            let changed = changed.into_iter().map(|it| (it.task, Some(it)));
            let removed = removed.into_iter().map(|id| (id, None));
            news.changes.extend(changed.chain(removed));
        });
    }

    fn put(&self, change: impl FnOnce(&mut News)) {
        change(&mut self.news.lock().unwrap_or_else(PoisonError::into_inner));
        self.arrived.notify_one();
    }

    fn take(&self) -> News {
        std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub(super) struct Driver {
    pub tasks: Tasks,
    pub tools: Tools,
    pub inbox: Arc<Inbox>,
    pub board: Board,
    pub writer: Writer<Record>,
    /// To the engine's watcher.
    pub doubt: Arc<Notify>,
    /// Whose files were left when others were last removed; `None`: never.
    pub with_files: Option<BTreeSet<Id>>,
    /// What the overlay knows; `None` of what it was never told.
    pub told: Told,
    pub directory: watch::Receiver<Arc<Directory>>,
    pub upkeep: Upkeep,
    pub steps: Steps,
    /// The engine's networks are made to agree, by one at a time.
    pub settling: JoinSet<runtime::Result<()>>,
    /// Who waits until nothing is left here.
    pub leaving: Vec<oneshot::Sender<()>>,
    /// Nothing is taken on any more: a manager may not know yet.
    pub leaves: bool,
}

/// What the overlay was told last.
#[derive(Debug, Default)]
pub(super) struct Told {
    expected: Option<Expected>,
    endpoints: Option<Endpoints>,
    resolvers: Option<Resolvers>,
}

/// The steps under way.
#[derive(Default)]
pub(super) struct Steps {
    running: JoinSet<Done>,
    tasks: HashMap<task::Id, Id>,
    cancel: HashMap<Id, CancellationToken>,
}

impl Steps {
    fn begin(&mut self, id: Id, step: step::Step, tools: Tools) {
        tracing::debug!(task = %id, ?step, "step");
        let cancel = CancellationToken::new();
        self.cancel.insert(id, cancel.clone());
        let handle = self
            .running
            .spawn(async move { step::perform(&tools, step, &cancel).await });
        self.tasks.insert(handle.id(), id);
    }

    fn cancel(&self, id: Id) {
        if let Some(cancel) = self.cancel.get(&id) {
            cancel.cancel();
        }
    }

    /// The next step that ends; never, while there is none.
    async fn ended(&mut self) -> (Id, Done) {
        loop {
            let Some(ended) = self.running.join_next_with_id().await else {
                std::future::pending::<()>().await;
                continue;
            };
            let (handle, done) = ended.unwrap_or_else(|error| {
                let id = error.id();
                (id, Done::Failed(crash(&error)))
            });
            if let Some(id) = self.tasks.remove(&handle) {
                self.cancel.remove(&id);
                return (id, done);
            }
        }
    }
}

fn crash(error: &JoinError) -> RuntimeError {
    tracing::error!(%error, "a step crashed");
    RuntimeError::Refused("internal error".to_owned())
}

impl Driver {
    /// Runs until `stop`. Containers are left as they are; the last record is
    /// on disk when it returns.
    pub async fn run(
        mut self,
        mut seen: mpsc::Receiver<Seen>,
        mut leave: mpsc::Receiver<oneshot::Sender<()>>,
        stop: CancellationToken,
    ) {
        let inbox = Arc::clone(&self.inbox);
        self.act();
        loop {
            let pause = self.pause();
            tokio::select! {
                () = stop.cancelled() => break,
                () = inbox.arrived.notified() => self.assigned(inbox.take()),
                (id, done) = self.steps.ended() => self.ended(id, done),
                Some(answer) = self.settling.join_next() => self.settled(answer),
                Ok(()) = self.directory.changed() => {}
                Some(news) = seen.recv() => self.seen(news),
                Some(who) = leave.recv() => {
                    self.leaving.push(who);
                    self.leaves = true;
                    self.upkeep.leave();
                    self.tasks.assign_all(Assigned::new());
                }
                () = tokio::time::sleep(pause) => {}
            }
            self.act();
        }
        self.writer.finish().await;
    }

    fn assigned(&mut self, news: News) {
        if self.leaves {
            return;
        }
        if let Some(all) = news.all {
            self.tasks.assign_all(all);
        }
        self.tasks.assign(news.changes);
    }

    fn ended(&mut self, id: Id, done: Done) {
        if let Done::Failed(error) = &done
            && error.is_unavailable()
        {
            self.doubt.notify_one();
        }
        self.tasks.finish(id, done, clock::now());
    }

    fn settled(&mut self, answer: Result<runtime::Result<()>, JoinError>) {
        let answer = answer.unwrap_or_else(|error| Err(crash(&error)));
        if let Err(error) = &answer
            && error.is_unavailable()
        {
            self.doubt.notify_one();
        }
        let answer = answer.map_err(|error| error.to_string());
        let text = answer.as_ref().err().cloned().unwrap_or_default();
        if self.upkeep.answered(answer, clock::now()) {
            tracing::warn!(error = %text, "the engine's networks are not as they should be");
        }
    }

    fn seen(&mut self, news: Seen) {
        let now = clock::now();
        match news {
            Seen::Found { instance, listed } => {
                self.upkeep.doubt();
                self.upkeep.hurry();
                self.tasks.engine_found(instance, listed, now);
            }
            Seen::Lost => self.tasks.engine_lost(),
            Seen::Listed(listed) => {
                self.upkeep.doubt();
                self.tasks.listed(listed, now);
            }
            Seen::Hint(task) => self.tasks.hint(task),
        }
    }

    /// Performs what follows from what is known now.
    fn act(&mut self) {
        let steps = self.tasks.decide(clock::now());
        self.tell_overlay();
        self.sweep_files();
        for (id, step) in steps {
            self.steps.begin(id, step, self.tools.clone());
        }
        for id in self.tasks.pointless() {
            self.steps.cancel(id);
        }
        self.board.publish(self.tasks.take_changed());
        if let Some(record) = self.tasks.take_record() {
            self.writer.write(record);
        }
        self.settle();
        // The engine can remove no network without our driver.
        let networks_are_done = self.upkeep.is_settled() || !self.tools.links.has_driver();
        if self.leaves && self.tasks.is_clear() && networks_are_done {
            for who in self.leaving.drain(..) {
                // Who no longer waits need not know.
                let _ = who.send(());
            }
        }
    }

    /// Has the engine agree about networks.
    fn settle(&mut self) {
        let wanted = match self.leaves {
            true => self.tasks.is_clear().then(networks::none),
            false => self.tasks.networks().and_then(|of_tasks| {
                let directory = self.directory.borrow();
                networks::wanted(of_tasks, &directory)
            }),
        };
        let is_up = self.tasks.engine_is_up();
        self.upkeep.want(wanted.filter(|_| is_up));
        let now = clock::now();
        let Some(networks) = self.upkeep.ask(now) else {
            return;
        };
        if !self.tools.links.has_driver() {
            self.upkeep.answered(Err("no driver".to_owned()), now);
            return;
        }
        let runtime = Arc::clone(&self.tools.runtime);
        self.settling
            .spawn(async move { runtime.settle_networks(&networks).await });
    }

    /// Before any step that follows: a container is let in only if it is
    /// expected.
    fn tell_overlay(&mut self) {
        let endpoints::Links {
            expected,
            endpoints,
            resolvers,
        } = self.tasks.links();
        if news(&mut self.told.expected, &expected) {
            self.tools.links.expect(expected);
        }
        // What others know of this node stays until it knows better itself.
        if !self.tasks.is_oriented() {
            return;
        }
        if news(&mut self.told.endpoints, &endpoints) {
            self.tools.links.announce(endpoints);
        }
        if news(&mut self.told.resolvers, &resolvers) {
            self.tools.links.resolvers(resolvers);
        }
    }

    /// Before any step that makes files. What cannot be removed is tried again
    /// when other tasks come or end.
    fn sweep_files(&mut self) {
        let Some(tasks) = self.tasks.with_files() else {
            return;
        };
        if self.with_files.as_ref() == Some(&tasks) {
            return;
        }
        if let Err(error) = self.tools.files.keep(&tasks) {
            tracing::warn!(%error, "files of tasks that ended cannot be removed");
        }
        self.with_files = Some(tasks);
    }

    fn pause(&self) -> Duration {
        let deadlines = [self.tasks.next_deadline(), self.upkeep.next_deadline()];
        let deadline = deadlines.into_iter().flatten().min();
        deadline.map_or(Duration::MAX, |at| at.since(clock::now()))
    }
}

/// Whether `now` is not what was told, which it is from now on.
fn news<T: Clone + PartialEq>(told: &mut Option<T>, now: &T) -> bool {
    let news = told.as_ref() != Some(now);
    if news {
        *told = Some(now.clone());
    }
    news
}
