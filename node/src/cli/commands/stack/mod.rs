//! `stack …`.

mod apply;
mod deploy;
mod images;
mod project;
mod rm;

use super::{Session, filters, pairs};
use crate::api::dto::{Service, Task};
use crate::cli::args::{Filter, StackCommand, StackLsArgs, StackPsArgs, StackServicesArgs};
use crate::cli::client::Target;
use crate::cli::error::CliError;
use crate::cli::stack::NAMESPACE_LABEL;
use crate::cli::values::Invalid;
use crate::cli::view;

impl Session<'_> {
    pub(super) async fn stack(&mut self, command: StackCommand) -> Result<(), CliError> {
        match command {
            StackCommand::Deploy(args) => self.stack_deploy(&args).await,
            StackCommand::Config(args) => self.stack_config(&args),
            StackCommand::Ls(args) => self.stack_ls(&args).await,
            StackCommand::Ps(args) => self.stack_ps(&args).await,
            StackCommand::Services(args) => self.stack_services(&args).await,
            StackCommand::Rm(args) => self.stack_rm(&args).await,
        }
    }

    async fn stack_ls(&mut self, args: &StackLsArgs) -> Result<(), CliError> {
        let target =
            Target::new(&["services"]).query("filters", &filters([("label", NAMESPACE_LABEL)]));
        let services: Vec<Service> = self.client.get(&target).await?;
        let rows = view::stack_rows(&services);
        self.print_rows(&rows, view::stack_table, args.format)
    }

    async fn stack_ps(&mut self, args: &StackPsArgs) -> Result<(), CliError> {
        let given = self.with_node_ids(&args.tasks.list.filter).await?;
        let target = of_stack(Target::new(&["tasks"]), &args.stack, &given);
        let tasks: Vec<Task> = self.client.get(&target).await?;
        if tasks.is_empty() {
            let text = format!("nothing found in stack: {}", args.stack);
            return Err(Invalid::new(text).into());
        }
        self.print_tasks(&tasks, &args.tasks).await
    }

    async fn stack_services(&mut self, args: &StackServicesArgs) -> Result<(), CliError> {
        let target = Target::new(&["services"]).query("status", "true");
        let target = of_stack(target, &args.stack, &args.list.filter);
        let services: Vec<Service> = self.client.get(&target).await?;
        if services.is_empty() {
            writeln!(self.err, "Nothing found in stack: {}", args.stack)?;
            return Ok(());
        }
        self.print_services(&services, &args.list)
    }
}

/// `target`, a list, of what is in `stack` and matches.
fn of_stack(target: Target, stack: &str, given: &[Filter]) -> Target {
    let label = format!("{NAMESPACE_LABEL}={stack}");
    let all = pairs(given).chain([("label", label.as_str())]);
    target.query("filters", &filters(all))
}

#[cfg(test)]
mod deploy_tests;
#[cfg(test)]
mod tests;
