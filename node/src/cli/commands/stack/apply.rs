//! Carries out a plan, in an order in which a rerun can go on wherever this
//! ends: what others need comes first, and what nothing needs any more goes
//! last.

use std::collections::BTreeMap;
use std::time::Duration;

use services::file::FileKind;

use super::Session;
use crate::api::dto::{
    FileCreateResponse, NetworkCreateResponse, Service, ServiceCreateResponse, ServiceSpec,
    ServiceUpdateResponse,
};
use crate::cli::args::StackDeployArgs;
use crate::cli::client::{Target, parse};
use crate::cli::error::CliError;
use crate::cli::progress::{self, Ended, Until, Wait};
use crate::cli::stack::{FileChange, Found, Plan, ServiceChange, ServiceStep};

/// The ids of secrets and configs.
type Ids = BTreeMap<(FileKind, String), String>;

impl Session<'_> {
    pub(super) async fn apply(
        &mut self,
        plan: &Plan,
        found: &Found,
        args: &StackDeployArgs,
    ) -> Result<(), CliError> {
        let mut done = Vec::new();
        let applied = self.apply_steps(plan, found, args, &mut done).await;
        match applied {
            Ok(()) => self.await_all(plan, args).await,
            Err(error) if done.is_empty() => Err(error),
            Err(error) => Err(CliError::Unfinished(format!(
                "{error}\nUntil then, this was done: {}. The same command goes on from here.",
                done.join(", ")
            ))),
        }
    }

    async fn apply_steps(
        &mut self,
        plan: &Plan,
        found: &Found,
        args: &StackDeployArgs,
        done: &mut Vec<String>,
    ) -> Result<(), CliError> {
        self.make_networks(plan, done).await?;
        let ids = self.make_files(plan, found, done).await?;
        if plan.prune {
            for (id, name) in &plan.unnamed {
                self.print(&format!("Removing service {name}\n"))?;
                let target = Target::new(&["services", id]);
                match self.client.delete(&target).await {
                    Err(error) if !error.is_not_found() => return Err(error),
                    _ => done.push(format!("service {name} was removed")),
                }
            }
        }
        for step in &plan.services {
            self.await_others(step, plan, args).await?;
            self.deploy_service(step, &ids, args, done).await?;
        }
        for (kind, id, name) in &plan.outdated {
            self.print(&format!("Removing {kind} {name}\n"))?;
            let target = Target::new(&[&format!("{kind}s"), id]);
            // It harms nobody where it is; the next deploy tries again.
            if let Err(error) = self.client.delete(&target).await {
                writeln!(self.err, "Failed to remove {kind} {name}: {error}")?;
            }
        }
        Ok(())
    }

    async fn make_networks(&mut self, plan: &Plan, done: &mut Vec<String>) -> Result<(), CliError> {
        for step in &plan.networks {
            let name = &step.request.name;
            if !step.differs.is_empty() {
                let fields = step.differs.iter().map(|field| field.path.as_str());
                let fields: Vec<&str> = fields.collect();
                writeln!(
                    self.err,
                    "network {name} stays as it is, without the new {}: a network cannot be \
                     changed; remove it, and deploy again",
                    fields.join(", ")
                )?;
            }
            if step.exists {
                continue;
            }
            self.print(&format!("Creating network {name}\n"))?;
            let target = Target::new(&["networks", "create"]);
            let answer = self.client.post(&target, &step.request).await;
            let answer = answer.map_err(|error| failed("create network", name, &error))?;
            let made: NetworkCreateResponse = parse(&target, &answer)?;
            self.warn(
                (!made.warning.is_empty())
                    .then_some(made.warning)
                    .as_slice(),
            )?;
            done.push(format!("network {name} was created"));
        }
        Ok(())
    }

    async fn make_files(
        &mut self,
        plan: &Plan,
        found: &Found,
        done: &mut Vec<String>,
    ) -> Result<Ids, CliError> {
        let mut ids = Ids::new();
        for kind in FileKind::ALL {
            let known = found.files(kind).iter();
            ids.extend(known.map(|file| ((kind, file.spec.name.clone()), file.id.clone())));
        }
        for step in &plan.files {
            let (kind, name) = (step.kind, &step.spec.name);
            let route = format!("{kind}s");
            match &step.change {
                FileChange::Keep { .. } => {}
                FileChange::Label { id, version, .. } => {
                    let target =
                        Target::new(&[&route, id, "update"]).query("version", &version.to_string());
                    let answer = self.client.post(&target, &step.spec).await;
                    answer.map_err(|error| failed(&format!("update {kind}"), name, &error))?;
                    done.push(format!("the labels of {kind} {name} were changed"));
                }
                FileChange::Create { .. } => {
                    self.print(&format!("Creating {kind} {name}\n"))?;
                    let target = Target::new(&[&route, "create"]);
                    let answer = self.client.post(&target, &step.spec).await;
                    let answer =
                        answer.map_err(|error| failed(&format!("create {kind}"), name, &error))?;
                    let made: FileCreateResponse = parse(&target, &answer)?;
                    ids.insert((kind, name.clone()), made.id);
                    done.push(format!("{kind} {name} was created"));
                }
            }
        }
        Ok(ids)
    }

    async fn deploy_service(
        &mut self,
        step: &ServiceStep,
        ids: &Ids,
        args: &StackDeployArgs,
        done: &mut Vec<String>,
    ) -> Result<(), CliError> {
        let spec = with_ids(&step.spec, ids);
        let name = &spec.name;
        let warnings = match &step.change {
            ServiceChange::Keep { id } => {
                self.print(&format!("Service {name} is as it should be\n"))?;
                return self.renew_credentials(id, &spec, args).await;
            }
            ServiceChange::Create => {
                self.print(&format!("Creating service {name}\n"))?;
                let target = Target::new(&["services", "create"]);
                let auth = self.registry_auth(args.with_registry_auth, &spec)?;
                let answer = self.client.post_with(&target, &spec, auth).await;
                let answer = answer.map_err(|error| failed("create service", name, &error))?;
                done.push(format!("service {name} was created"));
                parse::<ServiceCreateResponse>(&target, &answer)?.warnings
            }
            ServiceChange::Update { id, from, .. } => {
                self.print(&format!("Updating service {name} (id: {id})\n"))?;
                let current: Service = self.client.get(&Target::new(&["services", id])).await?;
                if current.spec != **from {
                    return Err(CliError::Unfinished(format!(
                        "service {name} was changed by somebody else meanwhile; run the command \
                         again"
                    )));
                }
                let version = current.version.index.to_string();
                let mut target =
                    Target::new(&["services", id, "update"]).query("version", &version);
                let auth = self.registry_auth(args.with_registry_auth, &spec)?;
                if auth.is_none() {
                    target = target.query("registryAuthFrom", "spec");
                }
                let answer = self.client.post_with(&target, &spec, auth).await;
                let answer = answer.map_err(|error| failed("update service", name, &error))?;
                done.push(format!("service {name} was updated"));
                let answer: ServiceUpdateResponse = parse(&target, &answer)?;
                answer.warnings.unwrap_or_default()
            }
        };
        self.warn(&warnings)
    }

    /// Newer credentials replace no task. To write the spec of a job would run it
    /// again.
    async fn renew_credentials(
        &mut self,
        id: &str,
        spec: &ServiceSpec,
        args: &StackDeployArgs,
    ) -> Result<(), CliError> {
        let is_job = spec.mode.replicated_job.is_some() || spec.mode.global_job.is_some();
        if is_job {
            return Ok(());
        }
        let Some(auth) = self.registry_auth(args.with_registry_auth, spec)? else {
            return Ok(());
        };
        let current: Service = self.client.get(&Target::new(&["services", id])).await?;
        let target = Target::new(&["services", id, "update"])
            .query("version", &current.version.index.to_string());
        self.client
            .post_with(&target, spec, Some(auth))
            .await
            .map(drop)
            .map_err(|error| failed("update service", &spec.name, &error))
    }

    /// Waits for what the service depends on.
    async fn await_others(
        &mut self,
        step: &ServiceStep,
        plan: &Plan,
        args: &StackDeployArgs,
    ) -> Result<(), CliError> {
        if step.waits.is_empty() {
            return Ok(());
        }
        let name = &step.spec.name;
        for (other, until) in &step.waits {
            let what = match until {
                Until::Healthy => "to be healthy",
                Until::Completed => "to be complete",
                Until::Converged => "to converge",
            };
            self.print(&format!("Waiting for {other} {what}, for {name}\n"))?;
        }
        let waits: Vec<Wait> = step
            .waits
            .iter()
            .map(|(service, until)| Wait {
                service: service.clone(),
                until: *until,
                is_new: plan.changes(service),
            })
            .collect();
        let why = match self.wait_for(&waits, args).await? {
            Ended::Reached => return Ok(()),
            Ended::Failed(failures) => {
                let reasons = failures.iter();
                let reasons = reasons.map(|it| format!("{}: {}", it.service, it.why));
                reasons.collect::<Vec<_>>().join("; ")
            }
            Ended::Interrupted => "nobody waits for them any longer".into(),
        };
        Err(CliError::NotConverged(format!(
            "service {name} was not deployed, because it waits for others: {why}"
        )))
    }

    async fn await_all(&mut self, plan: &Plan, args: &StackDeployArgs) -> Result<(), CliError> {
        if !args.wait && args.detach != Some(false) {
            return Ok(());
        }
        // What comes to its end for others does not go on.
        let ends = |name: &String| {
            let mut waits = plan.services.iter().flat_map(|step| &step.waits);
            waits.any(|(other, until)| other == name && *until == Until::Completed)
        };
        let waits: Vec<Wait> = plan
            .services
            .iter()
            .map(|step| Wait {
                service: step.spec.name.clone(),
                until: match ends(&step.spec.name) {
                    true => Until::Completed,
                    false => Until::Converged,
                },
                is_new: plan.changes(&step.spec.name),
            })
            .collect();
        match self.wait_for(&waits, args).await? {
            Ended::Reached => Ok(()),
            Ended::Failed(failures) => {
                let lines = failures.iter();
                let lines = lines.map(|it| format!("service {}: {}", it.service, it.why));
                let text = lines.collect::<Vec<_>>().join("\n");
                Err(CliError::NotConverged(text))
            }
            Ended::Interrupted => self.print(&format!(
                "Operation continuing in background.\n\
                 Use `swarmlet stack ps {}` to check progress.\n",
                args.stack
            )),
        }
    }

    async fn wait_for(
        &mut self,
        waits: &[Wait],
        args: &StackDeployArgs,
    ) -> Result<Ended, CliError> {
        let limit = u64::try_from(args.wait_timeout.0).unwrap_or_default();
        let drawing = self.drawing(args.quiet);
        progress::wait_for(
            &self.client,
            waits,
            Duration::from_nanos(limit),
            drawing,
            self.out,
        )
        .await
    }
}

fn failed(what: &str, name: &str, error: &CliError) -> CliError {
    CliError::Unfinished(format!("failed to {what} {name}: {error}"))
}

fn with_ids(spec: &ServiceSpec, ids: &Ids) -> ServiceSpec {
    let mut spec = spec.clone();
    if let Some(container) = &mut spec.task_template.container_spec {
        for (kind, name, id) in container.files_mut() {
            if let Some(known) = ids.get(&(kind, name.clone())) {
                id.clone_from(known);
            }
        }
    }
    spec
}
