//! The calls that nodes make.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use services::assignment::AssignedNetwork;
use services::object::NodeDescription;
use services::spec::TaskSpec;
use services::{Assignment, Id};
use tokio::sync::mpsc;

use super::{Call, EVENT_BACKLOG, FakeRuntime, Kind};
use crate::runtime::{
    Called, Container, FileMount, Listed, LogFrame, LogOptions, LogStream, Networks, Phase, Result,
    Runtime,
};

/// Until who tells goes.
fn heard<T: Send + 'static>(receiver: mpsc::Receiver<T>) -> BoxStream<'static, Result<T>> {
    futures::stream::unfold(receiver, |mut receiver| async move {
        let event = receiver.recv().await?;
        Some((Ok(event), receiver))
    })
    .boxed()
}

impl Runtime for FakeRuntime {
    fn ping(&self) -> BoxFuture<'_, Result<()>> {
        std::future::ready(self.lock().check_up()).boxed()
    }

    fn describe(&self) -> BoxFuture<'_, Result<NodeDescription>> {
        let up = self.lock().check_up();
        let described = up.map(|()| NodeDescription {
            hostname: "fake".into(),
            ..NodeDescription::default()
        });
        std::future::ready(described).boxed()
    }

    fn devices(&self) -> BoxFuture<'_, BTreeSet<String>> {
        std::future::ready(self.lock().devices.clone()).boxed()
    }

    fn instance(&self) -> BoxFuture<'_, Option<String>> {
        let instance = format!("fake/{}", self.lock().generation);
        std::future::ready(Some(instance)).boxed()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Listed>>> {
        let state = self.lock();
        let listed = state.containers.values().map(|held| Listed {
            id: held.container.id.clone(),
            task: held.task,
            running: matches!(held.container.phase, Phase::Running(_)),
        });
        let listed = state.check_up().map(|()| listed.collect());
        std::future::ready(listed).boxed()
    }

    fn create<'a>(
        &'a self,
        assignment: &'a Assignment,
        files: &'a [FileMount],
    ) -> BoxFuture<'a, Result<String>> {
        let task = assignment.task;
        self.call(Some(Kind::Create), Call::Create(task), task, |state| {
            state.create(assignment, files)
        })
    }

    fn pull<'a>(&'a self, task: &'a TaskSpec) -> BoxFuture<'a, Result<()>> {
        let image = &task.container.image;
        let call = Call::Pull(image.clone());
        self.call(Some(Kind::Pull), call, Id::default(), move |state| {
            state.pull(image, task.registry_auth.as_ref())
        })
    }

    fn start<'a>(
        &'a self,
        container: &'a str,
        networks: &'a [AssignedNetwork],
    ) -> BoxFuture<'a, Result<()>> {
        let task = self.task_of(container);
        self.call(Some(Kind::Start), Call::Start(task), task, |state| {
            state.start(container, networks)
        })
    }

    fn settle_networks<'a>(&'a self, wanted: &'a Networks) -> BoxFuture<'a, Result<()>> {
        let settled = self.change(|state| {
            state.check_up()?;
            state.settle(wanted);
            Ok(())
        });
        std::future::ready(settled).boxed()
    }

    fn stop<'a>(
        &'a self,
        container: &'a str,
        grace: Option<Duration>,
    ) -> BoxFuture<'a, Result<()>> {
        let task = self.task_of(container);
        self.call(Some(Kind::Stop), Call::Stop(task, grace), task, |state| {
            state.stop(container)
        })
    }

    fn remove<'a>(&'a self, container: &'a str) -> BoxFuture<'a, Result<()>> {
        let task = self.task_of(container);
        self.call(Some(Kind::Remove), Call::Remove(task), task, move |state| {
            state.containers.remove(container);
            state.tell(task);
            Ok(())
        })
    }

    fn inspect<'a>(&'a self, container: &'a str) -> BoxFuture<'a, Result<Option<Container>>> {
        let task = self.task_of(container);
        self.call(None, Call::Inspect(task), task, |state| {
            let held = state.containers.get(container);
            Ok(held.map(|held| held.container.clone()))
        })
    }

    fn events(&self) -> BoxStream<'static, Result<Id>> {
        let (sender, receiver) = mpsc::channel(EVENT_BACKLOG);
        let mut state = self.lock();
        if !state.down {
            state.listeners.push(sender);
        }
        heard(receiver)
    }

    fn called<'a>(
        &'a self,
        _: &'a str,
        endpoint: &'a str,
    ) -> BoxFuture<'a, Result<Option<Called>>> {
        let called = self.lock().called.get(endpoint).cloned();
        std::future::ready(Ok(called)).boxed()
    }

    fn renames(&self) -> BoxStream<'static, Result<String>> {
        let (sender, receiver) = mpsc::channel(EVENT_BACKLOG);
        self.change(|state| state.name_listeners.push(sender));
        heard(receiver)
    }

    fn logs<'a>(
        &'a self,
        container: &'a str,
        options: &'a LogOptions,
    ) -> BoxFuture<'a, Result<BoxStream<'static, Result<LogFrame>>>> {
        let found = self.lock().held(container).map(|held| LogFrame {
            stream: LogStream::Stdout,
            at: held.container.started,
            details: match options.details {
                true => "tier=front".to_owned(),
                false => String::new(),
            },
            data: held.container.id.clone().into(),
        });
        let stream = found.map(|line| futures::stream::once(std::future::ready(Ok(line))).boxed());
        std::future::ready(stream).boxed()
    }
}
