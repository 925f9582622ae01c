//! What is there in the engine, and what a call makes of it.

use std::collections::BTreeSet;

use services::assignment::AssignedNetwork;
use services::registry::RegistryAuth;
use services::{Assignment, Id, Timestamp};

use super::{Held, State};
use crate::runtime::{Container, Exit, FileMount, Health, Networks, Phase, Result, RuntimeError};

impl State {
    pub(super) fn check_up(&self) -> Result<()> {
        match self.down {
            true => Err(RuntimeError::Unavailable("the engine is down".into())),
            false => Ok(()),
        }
    }

    pub(super) fn tick(&mut self) -> Timestamp {
        self.clock += 1;
        Timestamp(self.clock)
    }

    pub(super) fn tell(&mut self, task: Id) {
        self.listeners
            .retain(|listener| listener.try_send(task).is_ok());
    }

    pub(super) fn container_of(&mut self, task: Id) -> Option<&mut Container> {
        let held = self
            .containers
            .values_mut()
            .find(|held| held.task == task)?;
        Some(&mut held.container)
    }

    pub(super) fn held(&mut self, container: &str) -> Result<&mut Held> {
        let missing = || RuntimeError::ContainerMissing(format!("No such container: {container}"));
        self.containers.get_mut(container).ok_or_else(missing)
    }

    pub(super) fn create(
        &mut self,
        assignment: &Assignment,
        files: &[FileMount],
    ) -> Result<String> {
        let image = &assignment.spec.task.container.image;
        if !self.images.contains(image) {
            return Err(RuntimeError::ImageMissing(format!(
                "No such image: {image}"
            )));
        }
        if let Some(existing) = self.container_of(assignment.task) {
            return Ok(existing.id.clone());
        }
        let id = format!("container-{}", assignment.task);
        let container = Container {
            id: id.clone(),
            phase: Phase::Created,
            pid: 0,
            started: None,
            ports: Vec::new(),
            addrs: Vec::new(),
        };
        let task = assignment.task;
        let networks = self.connect(&assignment.networks);
        let held = Held {
            task,
            container,
            networks,
            files: files.to_vec(),
        };
        self.containers.insert(id.clone(), held);
        Ok(id)
    }

    /// Makes what is missing of these networks.
    pub(super) fn connect(&mut self, networks: &[AssignedNetwork]) -> BTreeSet<Id> {
        let ids: BTreeSet<Id> = networks.iter().map(|it| it.id).collect();
        self.networks.extend(&ids);
        ids
    }

    pub(super) fn settle(&mut self, wanted: &Networks) {
        self.networks.extend(wanted.make.keys());
        let used = self.containers.values().flat_map(|held| &held.networks);
        let used: BTreeSet<Id> = used.copied().collect();
        self.networks.retain(|id| {
            let is_wanted = wanted.make.contains_key(id) || wanted.keep.contains(id);
            is_wanted || (used.contains(id) && !wanted.evict)
        });
    }

    pub(super) fn start(&mut self, container: &str, networks: &[AssignedNetwork]) -> Result<()> {
        let at = self.tick();
        let health = match self.checked {
            true => Health::Starting,
            false => Health::Unchecked,
        };
        let networks = self.connect(networks);
        let held = self.held(container)?;
        if !matches!(held.container.phase, Phase::Running(_)) {
            held.networks = networks;
            held.container.phase = Phase::Running(health);
            held.container.pid = 1000;
            held.container.started = Some(at);
        }
        Ok(())
    }

    pub(super) fn stop(&mut self, container: &str) -> Result<()> {
        let at = self.tick();
        let held = self.held(container)?;
        held.container.end(143, at);
        let task = held.task;
        self.tell(task);
        Ok(())
    }

    pub(super) fn pull(&mut self, image: &str, auth: Option<&RegistryAuth>) -> Result<()> {
        let wanted = self.registry.get(image);
        if !wanted.is_some_and(|wanted| wanted.is_none() || wanted.as_ref() == auth) {
            return Err(RuntimeError::Refused(format!(
                "pull access denied for {image}"
            )));
        }
        self.images.insert(image.to_owned());
        Ok(())
    }
}

impl Container {
    pub(super) fn end(&mut self, code: i64, at: Timestamp) {
        if matches!(self.phase, Phase::Running(_)) {
            self.pid = 0;
            self.phase = Phase::Exited(Exit {
                code,
                at: Some(at),
                ..Exit::default()
            });
        }
    }
}
