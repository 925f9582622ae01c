//! Looks at several services until each is where it is waited for.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{
    Drawing, Line, Look, Outcome, Progress, Until, complaint, patiently, unless_interrupted,
};
use crate::api::dto::{Node, Service, Task};
use crate::cli::client::{Client, Target};
use crate::cli::error::CliError;

/// That a service is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// Its name.
    pub service: String,
    pub until: Until,
    /// It was changed just now: to go back to what it was before is a failure.
    pub is_new: bool,
}

/// A service that did not get there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub service: String,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    Reached,
    Failed(Vec<Failure>),
    /// The user would not wait any longer.
    Interrupted,
}

/// Shows on `out` how the services get on, for as long as `limit`.
pub async fn wait_for(
    client: &Client,
    waits: &[Wait],
    limit: Duration,
    mut drawing: Drawing,
    out: &mut dyn Write,
) -> Result<Ended, CliError> {
    let result = unless_interrupted(until_all(client, waits, limit, &mut drawing, out)).await;
    drawing.finish();
    result.unwrap_or(Ok(Ended::Interrupted))
}

async fn until_all(
    client: &Client,
    waits: &[Wait],
    limit: Duration,
    drawing: &mut Drawing,
    out: &mut dyn Write,
) -> Result<Ended, CliError> {
    if waits.is_empty() {
        return Ok(Ended::Reached);
    }
    let start = Instant::now();
    let mut failures = Vec::new();
    let mut pending: Vec<(&Wait, Progress)> = waits
        .iter()
        .map(|wait| (wait, Progress::until(wait.until)))
        .collect();
    patiently(async || {
        let names: Vec<&str> = pending
            .iter()
            .map(|(wait, _)| wait.service.as_str())
            .collect();
        let is_last = start.elapsed() >= limit;
        let seen = Seen::now(client, &names).await?;
        for (wait, mut progress) in std::mem::take(&mut pending) {
            match seen.look(wait, &mut progress, start.elapsed(), drawing, out)? {
                Outcome::Converged => {}
                Outcome::Stuck(why) => failures.push(failure(wait, why)),
                Outcome::Pending if is_last => {
                    failures.push(failure(wait, seen.too_late(wait, limit)));
                }
                Outcome::Pending => pending.push((wait, progress)),
            }
        }
        Ok(pending.is_empty().then_some(()))
    })
    .await?;
    Ok(match failures.is_empty() {
        true => Ended::Reached,
        false => Ended::Failed(failures),
    })
}

fn failure(wait: &Wait, why: String) -> Failure {
    Failure {
        service: wait.service.clone(),
        why,
    }
}

/// The services and what is theirs, at one moment.
struct Seen {
    services: Vec<Service>,
    tasks: Vec<Task>,
    nodes: Vec<Node>,
}

impl Seen {
    async fn now(client: &Client, names: &[&str]) -> Result<Self, CliError> {
        // Names match by how they begin.
        let filters = json!({ "name": names }).to_string();
        let target = Target::new(&["services"]).query("filters", &filters);
        let mut services: Vec<Service> = client.get(&target).await?;
        services.retain(|service| names.contains(&service.spec.name.as_str()));
        let ids: Vec<&str> = services.iter().map(|service| service.id.as_str()).collect();
        let filters = json!({"service": ids, "_up-to-date": ["true"]}).to_string();
        let tasks = Target::new(&["tasks"]).query("filters", &filters);
        let nodes = Target::new(&["nodes"]);
        let (tasks, nodes) = tokio::try_join!(client.get(&tasks), client.get(&nodes))?;
        Ok(Self {
            services,
            tasks,
            nodes,
        })
    }

    fn service(&self, name: &str) -> Option<(&Service, Vec<Task>)> {
        let mut services = self.services.iter();
        let service = services.find(|service| service.spec.name == name)?;
        let tasks = self.tasks.iter();
        let tasks = tasks.filter(|task| task.service_id == service.id);
        Some((service, tasks.cloned().collect()))
    }

    fn look(
        &self,
        wait: &Wait,
        progress: &mut Progress,
        at: Duration,
        drawing: &mut Drawing,
        out: &mut dyn Write,
    ) -> Result<Outcome, CliError> {
        let Some((service, tasks)) = self.service(&wait.service) else {
            return Ok(Outcome::Stuck("it was removed".into()));
        };
        let (lines, outcome) = progress.look(&Look {
            service,
            tasks: &tasks,
            nodes: &self.nodes,
            at,
        });
        let named = |line: Line| Line {
            id: format!("{} {}", wait.service, line.id),
            ..line
        };
        let lines: Vec<Line> = lines.into_iter().map(named).collect();
        drawing.show(&lines, out)?;
        Ok(match outcome {
            Outcome::Converged if wait.is_new => match went_back(service) {
                Some(why) => Outcome::Stuck(why),
                None => Outcome::Converged,
            },
            outcome => outcome,
        })
    }

    fn too_late(&self, wait: &Wait, limit: Duration) -> String {
        let what = match wait.until {
            Until::Converged => "has not converged",
            Until::Healthy => "is not healthy",
            Until::Completed => "is not complete",
        };
        let late = format!("it {what} within {limit:?}");
        let complaint = self.service(&wait.service).and_then(|(service, tasks)| {
            complaint(&Look {
                service,
                tasks: &tasks,
                nodes: &self.nodes,
                at: limit,
            })
        });
        match complaint {
            Some(complaint) => format!("{late} ({complaint})"),
            None => late,
        }
    }
}

/// Why the service is what it was before its update.
fn went_back(service: &Service) -> Option<String> {
    let status = service.update_status.as_ref()?;
    status
        .state
        .starts_with("rollback")
        .then(|| format!("it was rolled back: {}", status.message))
}
