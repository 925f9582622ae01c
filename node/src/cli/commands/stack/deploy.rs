//! `stack deploy`: look at what is there, decide, and do it.

use services::file::FileKind;

use super::{Session, filters};
use crate::api::dto::{File, FileComparison};
use crate::cli::args::StackDeployArgs;
use crate::cli::client::{Target, parse};
use crate::cli::error::CliError;
use crate::cli::stack::{self, Found, Stack, Wanted};
use crate::cli::values::Invalid;

impl Session<'_> {
    pub(super) async fn stack_deploy(&mut self, args: &StackDeployArgs) -> Result<(), CliError> {
        let disk = self.disk(&args.project)?;
        let project = self.project(&args.project, &disk)?;
        let stack = Stack(args.stack.clone());
        let wanted = stack::wanted(stack, &project, &|source| disk.content(source));
        let wanted = wanted.map_err(wrong)?;
        if args.detach == Some(true) {
            refuse_waiting(&wanted)?;
        }
        let found = self.found(&wanted).await?;
        let images = self.pinned(&wanted, &found, args.resolve_image).await?;
        let plan = stack::plan(&wanted, &found, &images, args.prune).map_err(wrong)?;
        match args.dry_run {
            true => self.print(&stack::show(&plan)),
            false => self.apply(&plan, &found, args).await,
        }
    }

    async fn found(&mut self, wanted: &Wanted) -> Result<Found, CliError> {
        let mut found = Found {
            services: self.client.get(&Target::new(&["services"])).await?,
            networks: self.client.get(&Target::new(&["networks"])).await?,
            secrets: self.files_named(FileKind::Secret, wanted).await?,
            configs: self.files_named(FileKind::Config, wanted).await?,
            ..Found::default()
        };
        for file in &wanted.files {
            let (kind, name) = (file.kind, &file.spec.name);
            let versions = stack::versions(&wanted.stack, name, found.files(kind));
            let mut same = Vec::new();
            for version in versions {
                if self.holds(kind, version, &file.spec).await? {
                    same.push((kind, name.clone(), version.id.clone()));
                }
            }
            found.same.extend(same);
        }
        Ok(found)
    }

    /// All whose names begin as those that are wanted: versions do.
    async fn files_named(&self, kind: FileKind, wanted: &Wanted) -> Result<Vec<File>, CliError> {
        let names = wanted.file_names(kind);
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let names = names.iter().map(|name| ("name", name.as_str()));
        let target = Target::new(&[&format!("{kind}s")]).query("filters", &filters(names));
        self.client.get(&target).await
    }

    /// Whether what is wanted is in it, which of a secret only the daemon knows.
    async fn holds(
        &self,
        kind: FileKind,
        known: &File,
        wanted: &crate::api::dto::FileSpec,
    ) -> Result<bool, CliError> {
        let target = Target::new(&[&format!("{kind}s"), &known.id, "compare"]);
        let answer = self.client.post(&target, wanted).await?;
        let compared: FileComparison = parse(&target, &answer)?;
        Ok(compared.same)
    }
}

/// What is wrong with the files, a line each.
fn wrong(problems: Vec<String>) -> CliError {
    Invalid::new(problems.join("\n")).into()
}

fn refuse_waiting(wanted: &Wanted) -> Result<(), CliError> {
    let mut waiting = wanted.services.iter().filter(|it| !it.waits.is_empty());
    match waiting.next() {
        None => Ok(()),
        Some(service) => {
            let on = service.waits.iter().map(|(name, _)| name.as_str());
            let on: Vec<&str> = on.collect();
            Err(Invalid::new(format!(
                "service {} is deployed only when {} got where it waits for it: leave out \
                 --detach, or the condition in depends_on",
                service.spec.name,
                on.join(" and ")
            ))
            .into())
        }
    }
}
