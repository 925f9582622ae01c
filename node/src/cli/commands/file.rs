//! `secret …` and `config …`.

use std::io::Read;

use services::file::FileKind;

use super::{Session, filters, now, with_filters};
use crate::api::dto::{Data, Driver, File, FileCreateResponse, FileSpec};
use crate::cli::args::{
    ConfigCommand, FileFlags, FileIds, FileInspectArgs, ListFlags, SecretCommand,
};
use crate::cli::client::{Target, parse};
use crate::cli::error::CliError;
use crate::cli::values::FileRequest;
use crate::cli::{spec, view};

/// More than any secret or config may have, in bytes: the daemon says what it
/// takes, and nobody waits for the end of `/dev/zero`.
const MOST: u64 = 2 << 20;

impl Session<'_> {
    pub(super) async fn secret(&mut self, command: SecretCommand) -> Result<(), CliError> {
        let kind = FileKind::Secret;
        match command {
            SecretCommand::Create(args) => {
                let file = args.file.as_deref();
                self.file_create(kind, &args.name, file, &args.flags, args.driver.as_ref())
                    .await
            }
            SecretCommand::Ls(args) => self.file_ls(kind, &args).await,
            SecretCommand::Inspect(args) => self.file_inspect(kind, &args).await,
            SecretCommand::Rm(args) => self.file_rm(kind, &args).await,
        }
    }

    pub(super) async fn config(&mut self, command: ConfigCommand) -> Result<(), CliError> {
        let kind = FileKind::Config;
        match command {
            ConfigCommand::Create(args) => {
                let file = Some(args.file.as_str());
                self.file_create(kind, &args.name, file, &args.flags, None)
                    .await
            }
            ConfigCommand::Ls(args) => self.file_ls(kind, &args).await,
            ConfigCommand::Inspect(args) => self.file_inspect(kind, &args).await,
            ConfigCommand::Rm(args) => self.file_rm(kind, &args).await,
        }
    }

    async fn file_create(
        &mut self,
        kind: FileKind,
        name: &str,
        file: Option<&str>,
        flags: &FileFlags,
        driver: Option<&String>,
    ) -> Result<(), CliError> {
        let data = match file {
            None => Vec::new(),
            Some("-") => {
                let mut data = Vec::new();
                let read = (&mut self.input).take(MOST).read_to_end(&mut data);
                read.map_err(|source| CliError::File {
                    path: "the standard input".into(),
                    source,
                })?;
                data
            }
            Some(path) => read(path).map_err(|source| CliError::File {
                path: path.to_owned(),
                source,
            })?,
        };
        let named = |name: &String| Driver {
            name: name.clone(),
            ..Driver::default()
        };
        let spec = FileSpec {
            name: name.to_owned(),
            labels: spec::labels(&flags.label),
            data: Data(data),
            driver: driver.map(named),
            templating: flags.template_driver.as_ref().map(named),
        };
        let target = Target::new(&[route(kind), "create"]);
        let answer = self.client.post(&target, &spec).await?;
        let created: FileCreateResponse = parse(&target, &answer)?;
        self.print(&format!("{}\n", created.id))
    }

    async fn file_ls(&mut self, kind: FileKind, flags: &ListFlags) -> Result<(), CliError> {
        let target = with_filters(Target::new(&[route(kind)]), &flags.filter);
        let files: Vec<File> = self.client.get(&target).await?;
        let rows = view::file_rows(kind, &files, now());
        self.print_list(
            &rows,
            |row| &row.id,
            |rows| view::file_table(kind, rows),
            flags,
        )
    }

    async fn file_inspect(
        &mut self,
        kind: FileKind,
        args: &FileInspectArgs,
    ) -> Result<(), CliError> {
        let mut found = Vec::new();
        for name in &args.names {
            found.push(self.object(Target::new(&[route(kind), name])).await);
        }
        self.show(&args.show, found, |file: &File| view::file_page(kind, file))
    }

    async fn file_rm(&mut self, kind: FileKind, args: &FileIds) -> Result<(), CliError> {
        let mut errors = Vec::new();
        for name in &args.names {
            match self.client.delete(&Target::new(&[route(kind), name])).await {
                Ok(()) => self.print(&format!("{name}\n"))?,
                Err(error) => errors.push(error),
            }
        }
        CliError::all(errors)
    }

    /// The ids of what flags refer to: a spec names both.
    pub(super) async fn files_of(
        &self,
        kind: FileKind,
        requests: &[FileRequest],
    ) -> Result<spec::Ids, CliError> {
        if requests.is_empty() {
            return Ok(spec::Ids::default());
        }
        let named = requests.iter().map(|it| ("name", it.source.as_str()));
        let target = Target::new(&[route(kind)]).query("filters", &filters(named));
        let files: Vec<File> = self.client.get(&target).await?;
        let ids = files.into_iter().map(|file| (file.spec.name, file.id));
        Ok(spec::Ids(ids.collect()))
    }
}

fn read(path: &str) -> std::io::Result<Vec<u8>> {
    let mut data = Vec::new();
    std::fs::File::open(path)?
        .take(MOST)
        .read_to_end(&mut data)?;
    Ok(data)
}

fn route(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Secret => "secrets",
        FileKind::Config => "configs",
    }
}

#[cfg(test)]
mod tests;
