//! Looks at a service until it has converged, is stuck, or nobody waits.

use std::io::Write;
use std::time::Instant;

use serde_json::json;

use super::{Drawing, Look, Outcome, Progress, patiently, unless_interrupted};
use crate::api::dto::{Node, Service, Task};
use crate::cli::client::{Client, Target};
use crate::cli::error::CliError;

/// Shows on `out` how `service` (an id) gets on. Ends with success when the
/// user interrupts: the swarm goes on by itself.
pub async fn wait(
    client: &Client,
    service: &str,
    mut drawing: Drawing,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let result = unless_interrupted(until_done(client, service, &mut drawing, out)).await;
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
    patiently(async || {
        let (service, tasks, nodes) = seen(client, service).await?;
        let (lines, outcome) = progress.look(&Look {
            service: &service,
            tasks: &tasks,
            nodes: &nodes,
            at: start.elapsed(),
        });
        drawing.show(&lines, out)?;
        match outcome {
            Outcome::Pending => Ok(None),
            Outcome::Converged => Ok(Some(())),
            Outcome::Stuck(reason) => Err(CliError::NotConverged(reason)),
        }
    })
    .await
}

async fn seen(client: &Client, service: &str) -> Result<(Service, Vec<Task>, Vec<Node>), CliError> {
    let filters = json!({"service": {service: true}, "_up-to-date": {"true": true}});
    let service = Target::new(&["services", service]);
    let tasks = Target::new(&["tasks"]).query("filters", &filters.to_string());
    let nodes = Target::new(&["nodes"]);
    tokio::try_join!(client.get(&service), client.get(&tasks), client.get(&nodes))
}
