//! `stack rm`: services first, then what only they could use.

use super::{Session, of_stack};
use crate::api::dto::{File, NetworkResource, Service, Task};
use crate::cli::args::StackRmArgs;
use crate::cli::client::Target;
use crate::cli::error::CliError;
use crate::cli::progress::{self, patiently};

impl Session<'_> {
    pub(super) async fn stack_rm(&mut self, args: &StackRmArgs) -> Result<(), CliError> {
        let mut errors = Vec::new();
        for stack in &args.stacks {
            match self.remove_stack(stack).await {
                Ok(false) => writeln!(self.err, "Nothing found in stack: {stack}")?,
                Ok(true) if !args.detach => self.until_stopped(stack).await?,
                Ok(true) => {}
                Err(error @ CliError::Unfinished(_)) => errors.push(error),
                Err(error) => return Err(error),
            }
        }
        CliError::all(errors)
    }

    /// Whether there was anything.
    async fn remove_stack(&mut self, stack: &str) -> Result<bool, CliError> {
        let list = |kind| of_stack(Target::new(&[kind]), stack, &[]);
        let services: Vec<Service> = self.client.get(&list("services")).await?;
        let networks: Vec<NetworkResource> = self.client.get(&list("networks")).await?;
        let secrets: Vec<File> = self.client.get(&list("secrets")).await?;
        let configs: Vec<File> = self.client.get(&list("configs")).await?;

        let of_file = |kind, file: File| (kind, file.id, file.spec.name);
        let mut services: Vec<_> = services
            .into_iter()
            .map(|it| ("service", it.id, it.spec.name))
            .collect();
        services.sort_by(|(_, _, a), (_, _, b)| a.cmp(b));
        let secrets = secrets.into_iter().map(|it| of_file("secret", it));
        let configs = configs.into_iter().map(|it| of_file("config", it));
        let networks = networks.into_iter().map(|it| ("network", it.id, it.name));
        let all: Vec<_> = services
            .into_iter()
            .chain(secrets)
            .chain(configs)
            .chain(networks)
            .collect();
        let mut failed = false;
        for (kind, id, name) in &all {
            self.print(&format!("Removing {kind} {name}\n"))?;
            let target = Target::new(&[&format!("{kind}s"), id]);
            match self.client.delete(&target).await {
                Ok(()) => {}
                // Somebody else was faster.
                Err(error) if error.is_not_found() => {}
                Err(error) => {
                    failed = true;
                    writeln!(self.err, "Failed to remove {kind} {name}: {error}")?;
                }
            }
        }
        match failed {
            true => Err(CliError::Unfinished(format!(
                "failed to remove some resources from stack: {stack}"
            ))),
            false => Ok(!all.is_empty()),
        }
    }

    async fn until_stopped(&self, stack: &str) -> Result<(), CliError> {
        let target = of_stack(Target::new(&["tasks"]), stack, &[]);
        patiently(async || {
            let tasks: Vec<Task> = self.client.get(&target).await?;
            let mut states = tasks.iter().map(|task| &task.status.state);
            Ok(states.all(|state| progress::ended(state)).then_some(()))
        })
        .await
    }
}
