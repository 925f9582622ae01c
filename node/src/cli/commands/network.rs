//! `network …`.

use super::{Session, with_filters};
use crate::api::dto::{NetworkCreateResponse, NetworkDoctor, NetworkResource, NetworksPruned};
use crate::cli::args::{
    Format, InspectFlags, NetworkCommand, NetworkCreateArgs, NetworkDoctorArgs, NetworkInspectArgs,
    NetworkLsArgs, NetworkPruneArgs, NetworkRmArgs,
};
use crate::cli::client::{Target, parse};
use crate::cli::error::CliError;
use crate::cli::values::Invalid;
use crate::cli::{spec, view};

impl Session<'_> {
    pub(super) async fn network(&mut self, command: NetworkCommand) -> Result<(), CliError> {
        match command {
            NetworkCommand::Create(args) => self.network_create(&args).await,
            NetworkCommand::Ls(args) => self.network_ls(&args).await,
            NetworkCommand::Inspect(args) => self.network_inspect(&args).await,
            NetworkCommand::Rm(args) => self.network_rm(&args).await,
            NetworkCommand::Prune(args) => self.network_prune(&args).await,
            NetworkCommand::Doctor(args) => self.network_doctor(&args).await,
        }
    }

    async fn network_create(&mut self, args: &NetworkCreateArgs) -> Result<(), CliError> {
        let target = Target::new(&["networks", "create"]);
        let answer = self.client.post(&target, &spec::network(args)?).await?;
        let created: NetworkCreateResponse = parse(&target, &answer)?;
        let warning = (!created.warning.is_empty()).then_some(created.warning);
        self.warn(warning.as_slice())?;
        self.print(&format!("{}\n", created.id))
    }

    async fn network_ls(&mut self, args: &NetworkLsArgs) -> Result<(), CliError> {
        let target = with_filters(Target::new(&["networks"]), &args.list.filter);
        let networks: Vec<NetworkResource> = self.client.get(&target).await?;
        let rows = view::network_rows(&networks, !args.no_trunc);
        self.print_list(&rows, |row| &row.id, view::network_table, &args.list)
    }

    async fn network_inspect(&mut self, args: &NetworkInspectArgs) -> Result<(), CliError> {
        let mut found = Vec::new();
        for name in &args.networks {
            let mut target = Target::new(&["networks", name]);
            if args.verbose {
                target = target.query("verbose", "true");
            }
            found.push(self.object(target).await);
        }
        let flags = InspectFlags {
            format: args.format,
            pretty: false,
        };
        // Without a page for people, none is made.
        self.show(&flags, found, |_: &NetworkResource| String::new())
    }

    async fn network_rm(&mut self, args: &NetworkRmArgs) -> Result<(), CliError> {
        let mut errors = Vec::new();
        for name in &args.networks {
            let target = Target::new(&["networks", name]);
            match self.client.delete(&target).await {
                Ok(()) => self.print(&format!("{name}\n"))?,
                Err(error) if args.force && error.is_not_found() => {}
                Err(error) => errors.push(error),
            }
        }
        CliError::all(errors)
    }

    async fn network_prune(&mut self, args: &NetworkPruneArgs) -> Result<(), CliError> {
        if !args.force && !self.confirmed(view::PRUNE_WARNING)? {
            return Err(Invalid::new("network prune has been cancelled").into());
        }
        let target = with_filters(Target::new(&["networks", "prune"]), &args.filter);
        let answer = self.client.post(&target, &serde_json::json!({})).await?;
        let pruned: NetworksPruned = parse(&target, &answer)?;
        self.print(&view::pruned(&pruned.networks_deleted.unwrap_or_default()))
    }

    /// Fails where there is a problem, so that scripts see it.
    async fn network_doctor(&mut self, args: &NetworkDoctorArgs) -> Result<(), CliError> {
        let mut target = Target::new(&["swarmlet", "doctor"]);
        if let Some(network) = &args.network {
            target = target.query("network", network);
        }
        let doctor: NetworkDoctor = self.client.get(&target).await?;
        let text = match args.format.format {
            Format::Json => view::json_lines(&[&doctor]).map_err(std::io::Error::from)?,
            Format::Table => view::doctor_page(&doctor),
        };
        self.print(&text)?;
        match view::verdict(&doctor) {
            None => Ok(()),
            Some(verdict) => Err(CliError::Unwell(verdict)),
        }
    }

    /// Warns and asks; anything but `y` is a no.
    fn confirmed(&mut self, warning: &str) -> Result<bool, CliError> {
        self.print(&format!(
            "{warning}\nAre you sure you want to continue? [y/N] "
        ))?;
        let mut answer = String::new();
        self.input.read_line(&mut answer)?;
        Ok(answer.trim().eq_ignore_ascii_case("y"))
    }
}
