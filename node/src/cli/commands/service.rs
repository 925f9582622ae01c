//! `service ls`, `ps` and `rm`.

use super::{Session, filters, pairs, with_filters};
use crate::api::dto::{Service, Task};
use crate::cli::args::{Filter, ListFlags, ServiceCommand, ServiceIds, ServicePsArgs};
use crate::cli::client::Target;
use crate::cli::error::CliError;
use crate::cli::values::Invalid;

impl Session<'_> {
    pub(super) async fn service(&mut self, command: ServiceCommand) -> Result<(), CliError> {
        match command {
            ServiceCommand::Create(args) => self.service_create(&args).await,
            ServiceCommand::Ls(args) => self.service_ls(&args).await,
            ServiceCommand::Ps(args) => self.service_ps(&args).await,
            ServiceCommand::Inspect(args) => self.service_inspect(&args).await,
            ServiceCommand::Scale(args) => self.service_scale(&args).await,
            ServiceCommand::Update(args) => self.service_update(&args).await,
            ServiceCommand::Logs(args) => self.service_logs(&args).await,
            ServiceCommand::Rm(args) => self.service_rm(&args).await,
            ServiceCommand::Rollback(args) => self.service_rollback(&args).await,
        }
    }

    async fn service_ls(&mut self, flags: &ListFlags) -> Result<(), CliError> {
        let target = Target::new(&["services"]).query("status", "true");
        let target = with_filters(target, &flags.filter);
        let services: Vec<Service> = self.client.get(&target).await?;
        self.print_services(&services, flags)
    }

    async fn service_ps(&mut self, args: &ServicePsArgs) -> Result<(), CliError> {
        let mut errors = Vec::new();
        let mut services: Vec<Service> = Vec::new();
        for name in &args.services {
            match self.client.get(&Target::new(&["services", name])).await {
                Ok(service) => services.push(service),
                Err(error) if error.is_not_found() => {
                    errors.push(Invalid::new(format!("no such service: {name}")).into());
                }
                Err(error) => return Err(error),
            }
        }
        if !services.is_empty() {
            let tasks = self.tasks_of(&services, args).await?;
            self.print_tasks(&tasks, &args.tasks).await?;
        }
        CliError::all(errors)
    }

    async fn tasks_of(
        &self,
        services: &[Service],
        args: &ServicePsArgs,
    ) -> Result<Vec<Task>, CliError> {
        let given = self.with_node_ids(&args.tasks.list.filter).await?;
        let ids = services
            .iter()
            .map(|service| ("service", service.id.as_str()));
        let all = filters(pairs(&given).chain(ids));
        let target = Target::new(&["tasks"]).query("filters", &all);
        self.client.get(&target).await
    }

    /// With the id that `node=self` stands for.
    pub(super) async fn with_node_ids(&self, given: &[Filter]) -> Result<Vec<Filter>, CliError> {
        let mut given = given.to_vec();
        for filter in given.iter_mut().filter(|filter| filter.key == "node") {
            filter.value = self.node_ref(&filter.value).await?;
        }
        Ok(given)
    }

    async fn service_rm(&mut self, args: &ServiceIds) -> Result<(), CliError> {
        let mut errors = Vec::new();
        for service in &args.services {
            let target = Target::new(&["services", service]);
            match self.client.delete(&target).await {
                Ok(()) => self.print(&format!("{service}\n"))?,
                Err(error) => errors.push(error),
            }
        }
        CliError::all(errors)
    }
}
