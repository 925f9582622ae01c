//! Lists, as their flags ask for them.

use serde::Serialize;

use super::{Session, now};
use crate::api::dto::{Node, Service, Task};
use crate::cli::args::{Format, FormatFlag, ListFlags, TaskFlags};
use crate::cli::client::Target;
use crate::cli::error::CliError;
use crate::cli::view::{self, Names, TaskView};

impl Session<'_> {
    pub(super) fn print_rows<T: Serialize>(
        &mut self,
        rows: &[T],
        table: impl FnOnce(&[T]) -> String,
        format: FormatFlag,
    ) -> Result<(), CliError> {
        let text = match format.format {
            Format::Json => view::json_lines(rows).map_err(std::io::Error::from)?,
            Format::Table => table(rows),
        };
        self.print(&text)
    }

    pub(super) fn print_list<T: Serialize>(
        &mut self,
        rows: &[T],
        id: impl Fn(&T) -> &String,
        table: impl FnOnce(&[T]) -> String,
        flags: &ListFlags,
    ) -> Result<(), CliError> {
        if !flags.quiet {
            return self.print_rows(rows, table, flags.format);
        }
        let ids: String = rows.iter().map(|row| format!("{}\n", id(row))).collect();
        self.print(&ids)
    }

    pub(super) fn print_services(
        &mut self,
        services: &[Service],
        flags: &ListFlags,
    ) -> Result<(), CliError> {
        let rows = view::service_rows(services);
        self.print_list(&rows, |row| &row.id, view::service_table, flags)
    }

    pub(super) async fn print_tasks(
        &mut self,
        tasks: &[Task],
        flags: &TaskFlags,
    ) -> Result<(), CliError> {
        let names = match flags.no_resolve {
            true => Names::default(),
            false => self.names().await?,
        };
        let view = TaskView {
            // Ids alone are for scripts, which want them whole.
            truncate: !flags.no_trunc && !flags.list.quiet,
            now: now(),
        };
        let rows = view::task_rows(tasks, &names, view);
        self.print_list(&rows, |row| &row.id, view::task_table, &flags.list)
    }

    /// What services and nodes are called.
    async fn names(&self) -> Result<Names, CliError> {
        let services: Vec<Service> = self.client.get(&Target::new(&["services"])).await?;
        let nodes: Vec<Node> = self.client.get(&Target::new(&["nodes"])).await?;
        Ok(Names {
            services: services.into_iter().map(|s| (s.id, s.spec.name)).collect(),
            nodes: nodes
                .into_iter()
                .map(|node| (node.id, node.description.hostname))
                .collect(),
        })
    }
}
