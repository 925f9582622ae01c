//! Looks at a service until it has converged, is stuck, or nobody waits.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Drawing, Look, Outcome, Progress};
use crate::api::dto::{Node, Service, Task};
use crate::cli::client::{Client, Target};
use crate::cli::error::CliError;

pub(super) const PAUSE: Duration = Duration::from_millis(200);
/// How long managers may be unable to answer: well above an election.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// Shows on `out` how `service` (an id) gets on. Ends with success when the
/// user interrupts: the swarm goes on by itself.
pub async fn wait(
    client: &Client,
    service: &str,
    mut drawing: Drawing,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    let result = tokio::select! {
        result = until_done(client, service, &mut drawing, out) => Some(result),
        _ = &mut interrupt => None,
    };
    drawing.finish();
    match result {
        Some(result) => result,
        None => {
            writeln!(
                out,
                "Operation continuing in background.\n\
                 Use `swarmlet service ps {service}` to check progress."
            )?;
            Ok(())
        }
    }
}

async fn until_done(
    client: &Client,
    service: &str,
    drawing: &mut Drawing,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let start = Instant::now();
    let mut progress = Progress::default();
    let mut answered = start;
    loop {
        match seen(client, service).await {
            Ok((service, tasks, nodes)) => {
                answered = Instant::now();
                let (lines, outcome) = progress.look(&Look {
                    service: &service,
                    tasks: &tasks,
                    nodes: &nodes,
                    at: start.elapsed(),
                });
                drawing.show(&lines, out)?;
                match outcome {
                    Outcome::Pending => {}
                    Outcome::Converged => return Ok(()),
                    Outcome::Stuck(reason) => return Err(CliError::NotConverged(reason)),
                }
            }
            Err(error) if passing(&error) && answered.elapsed() < PATIENCE => {}
            Err(error) => return Err(error),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Managers that are electing a leader answer again soon.
pub(super) fn passing(error: &CliError) -> bool {
    match error {
        CliError::Daemon { status, .. } => *status >= 500,
        CliError::Broken(_) | CliError::NoDaemon { .. } => true,
        _ => false,
    }
}

async fn seen(client: &Client, service: &str) -> Result<(Service, Vec<Task>, Vec<Node>), CliError> {
    let filters = json!({"service": {service: true}, "_up-to-date": {"true": true}});
    let service = Target::new(&["services", service]);
    let tasks = Target::new(&["tasks"]).query("filters", &filters.to_string());
    let nodes = Target::new(&["nodes"]);
    tokio::try_join!(client.get(&service), client.get(&tasks), client.get(&nodes))
}
