//! `up`, `discover` and `site-key`.

use std::time::Duration;

use super::Session;
use crate::api::dto::{Device, UpProgress, UpRequest};
use crate::cli::args::{DiscoverArgs, UpArgs};
use crate::cli::client::Target;
use crate::cli::error::CliError;
use crate::cli::progress::unless_interrupted;
use crate::cli::{daemon, view};

const PAUSE: Duration = Duration::from_millis(200);

impl Session<'_> {
    pub(super) async fn up(&mut self, args: &UpArgs) -> Result<(), CliError> {
        daemon::ensure(self, &args.start, args.addresses.listen_addr).await?;
        self.client.post(&target(), &request(args)).await?;
        if args.detach {
            return self.print(view::UP_DETACHED);
        }
        match unless_interrupted(self.follow_up()).await {
            Some(ended) => ended,
            None => self.print(view::UP_INTERRUPTED),
        }
    }

    /// Prints how the device gets on, until it is part of a swarm.
    async fn follow_up(&mut self) -> Result<(), CliError> {
        let mut printed = String::new();
        loop {
            let progress: UpProgress = self.client.get(&target()).await?;
            match progress.state.as_str() {
                "conflict" => return Err(CliError::NotConverged(view::conflict(&progress))),
                "none" => return Err(CliError::NotConverged(view::UP_GIVEN_UP.into())),
                _ if progress.message == printed => {}
                _ => self.print(&format!("{}\n", progress.message))?,
            }
            if matches!(progress.state.as_str(), "founded" | "joined") {
                return Ok(());
            }
            printed = progress.message;
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub(super) async fn discover(&mut self, args: &DiscoverArgs) -> Result<(), CliError> {
        let target = Target::new(&["swarmlet", "discover"]);
        let devices: Vec<Device> = self.client.get(&target).await?;
        self.print_rows(&devices, view::device_table, args.format)?;
        self.warn(&view::device_warnings(&devices))
    }

    /// 128 random bits.
    pub(super) fn site_key(&mut self) -> Result<(), CliError> {
        let key = certs::NodeId::from(rand::random::<u128>());
        self.print(&format!("{key}\n"))
    }
}

fn target() -> Target {
    Target::new(&["swarmlet", "up"])
}

fn request(args: &UpArgs) -> UpRequest {
    let label = |pair: &crate::cli::values::Pair| (pair.key.clone(), pair.value.clone());
    UpRequest {
        site_key: args.site_key.clone(),
        managers: args.managers.parse().unwrap_or_default(),
        labels: args.label.iter().map(label).collect(),
        listen_addr: args.addresses.listen_addr.to_string(),
        advertise_addr: args.addresses.advertise_addr.clone().unwrap_or_default(),
        availability: args.addresses.availability.as_str().into(),
    }
}

#[cfg(test)]
mod tests;
