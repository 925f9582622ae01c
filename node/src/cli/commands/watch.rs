//! `members`, `events` and `update`.

use std::time::Duration;

use http_body_util::BodyExt;

use super::{MAX_TRIES, Session, now, outdated};
use crate::api::dto::{Member, Swarm, SwarmEvent, SwarmSpec};
use crate::cli::args::{EventsArgs, Format, MembersArgs, SwarmUpdateArgs};
use crate::cli::client::{Target, parse};
use crate::cli::error::CliError;
use crate::cli::values::moment;
use crate::cli::view;

/// For the next leader to be elected.
const PAUSE: Duration = Duration::from_millis(500);
/// Bytes of an event.
const MAX_LINE: usize = 64 << 10;

impl Session<'_> {
    pub(super) async fn members(&mut self, args: &MembersArgs) -> Result<(), CliError> {
        let target = Target::new(&["swarmlet", "members"]);
        let members: Vec<Member> = self.client.get(&target).await?;
        self.print_rows(&members, view::member_table, args.format)
    }

    pub(super) async fn events(&mut self, args: &EventsArgs) -> Result<(), CliError> {
        let zone = jiff::tz::TimeZone::system();
        let mut since = match &args.since {
            Some(since) => moment(since, jiff::Timestamp::now(), &zone)?,
            None => "0".into(),
        };
        loop {
            let mut target = Target::new(&["swarmlet", "events"]).query("since", &since);
            if args.follow {
                target = target.query("follow", "1");
            }
            let asked = now();
            match self.show_events(&target, args.format).await {
                Ok(()) if !args.follow => return Ok(()),
                // The leader leads no more, or was lost; the next one has noted
                // what happened since.
                Ok(()) | Err(CliError::Broken(_)) if args.follow => {}
                Err(error) if args.follow && is_passing(&error) => {}
                ended => return ended,
            }
            let seconds = asked.0.0 / 1_000_000_000;
            since = format!("{seconds}.{:09}", asked.0.0 % 1_000_000_000);
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn show_events(
        &mut self,
        target: &Target,
        format: Option<Format>,
    ) -> Result<(), CliError> {
        let mut body = self.client.stream(target).await?;
        let mut text = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| CliError::Broken(error.to_string()))?;
            text.extend_from_slice(&frame.into_data().unwrap_or_default());
            while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = text.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                let event: SwarmEvent = parse(target, &line)?;
                match format {
                    Some(Format::Json) => self.print(&line)?,
                    _ => self.print(&view::event_line(&event))?,
                }
            }
            if text.len() > MAX_LINE {
                return Err(CliError::Nonsense {
                    what: target.as_str().into(),
                    why: "a line is too long".into(),
                });
            }
        }
        Ok(())
    }

    pub(super) async fn update(&mut self, args: &SwarmUpdateArgs) -> Result<(), CliError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let swarm: Swarm = self.client.get(&Target::new(&["swarm"])).await?;
            let target = Target::new(&["swarm", "update"])
                .query("version", &swarm.cluster.version.index.to_string());
            let before = swarm.cluster.spec.encryption_config.auto_lock_managers;
            let spec = changed(args, swarm.cluster.spec);
            match self.client.post(&target, &spec).await {
                Ok(_) => {
                    self.print("Swarm updated.\n")?;
                    let after = spec.encryption_config.auto_lock_managers;
                    return match !before && after {
                        true => self.show_unlock_key().await,
                        false => Ok(()),
                    };
                }
                Err(error) if outdated(&error) && tries < MAX_TRIES => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// There is no leader, for as long as it takes to elect one.
fn is_passing(error: &CliError) -> bool {
    matches!(error, CliError::Daemon { status: 500, .. })
}

fn changed(args: &SwarmUpdateArgs, mut spec: SwarmSpec) -> SwarmSpec {
    use services::managing::{AUTOPILOT, MANAGERS};
    if let Some(managers) = args.managers {
        spec.labels.insert(MANAGERS.into(), managers.to_string());
    }
    if let Some(autopilot) = args.autopilot {
        let value = autopilot.as_str().into();
        spec.labels.insert(AUTOPILOT.into(), value);
    }
    if let Some(expiry) = args.cert_expiry {
        spec.ca_config.node_cert_expiry = expiry.0;
    }
    if let Some(autolock) = args.autolock {
        spec.encryption_config.auto_lock_managers = autolock;
    }
    if let Some(limit) = args.task_history_limit {
        spec.orchestration.task_history_retention_limit = Some(limit);
    }
    spec
}
