//! `service ls`, `ps` and `rm`.

use super::{Session, filters, now, pairs, with_filters};
use crate::api::dto::{Service, Task};
use crate::cli::args::{Filter, Format, ServiceCommand, ServiceIds, ServiceLsArgs, ServicePsArgs};
use crate::cli::client::Target;
use crate::cli::error::CliError;
use crate::cli::values::Invalid;
use crate::cli::view::{self, Names, TaskView};

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

    async fn service_ls(&mut self, args: &ServiceLsArgs) -> Result<(), CliError> {
        let target = Target::new(&["services"]).query("status", "true");
        let target = with_filters(target, &args.filter);
        let services: Vec<Service> = self.client.get(&target).await?;
        self.print_services(&services, args.quiet, args.format.format)
    }

    pub(super) fn print_services(
        &mut self,
        services: &[Service],
        quiet: bool,
        format: Format,
    ) -> Result<(), CliError> {
        let rows = view::service_rows(services);
        let text = match format {
            _ if quiet => rows.iter().map(|row| format!("{}\n", row.id)).collect(),
            Format::Json => view::json_lines(&rows).map_err(std::io::Error::from)?,
            Format::Table => view::service_table(&rows),
        };
        self.print(&text)
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
            let view = TaskView {
                truncate: !args.no_trunc,
                now: now(),
            };
            let names = self.names(args.no_resolve).await?;
            self.print_tasks(&tasks, &names, view, args.quiet, args.format.format)?;
        }
        CliError::all(errors)
    }

    async fn tasks_of(
        &self,
        services: &[Service],
        args: &ServicePsArgs,
    ) -> Result<Vec<Task>, CliError> {
        let given = self.with_node_ids(&args.filter).await?;
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

    pub(super) fn print_tasks(
        &mut self,
        tasks: &[Task],
        names: &Names,
        view: TaskView,
        quiet: bool,
        format: Format,
    ) -> Result<(), CliError> {
        // Ids alone are for scripts, which want them whole.
        let truncate = view.truncate && !quiet;
        let rows = view::task_rows(tasks, names, TaskView { truncate, ..view });
        let text = match format {
            _ if quiet => rows.iter().map(|row| format!("{}\n", row.id)).collect(),
            Format::Json => view::json_lines(&rows).map_err(std::io::Error::from)?,
            Format::Table => view::task_table(&rows),
        };
        self.print(&text)
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
