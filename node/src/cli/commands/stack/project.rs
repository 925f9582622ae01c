//! A project, read from files on this host.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use services::compose::{self, FileError, FileSource, Files, MAX_FILE, Project, Request};

use super::Session;
use crate::cli::args::{ProjectFlags, StackConfigArgs};
use crate::cli::error::CliError;
use crate::cli::values::Invalid;

impl Session<'_> {
    pub(super) fn stack_config(&mut self, args: &StackConfigArgs) -> Result<(), CliError> {
        let disk = self.disk(&args.project)?;
        let request = request(&args.project)?;
        let text = match args.skip_interpolation {
            true => compose::merged(&request, &disk).map_err(wrong)?,
            false => self.project(&args.project, &disk)?.to_yaml(),
        };
        self.print(&text)
    }

    /// Warns of what the files say and nobody can do.
    pub(super) fn project(
        &mut self,
        flags: &ProjectFlags,
        disk: &Disk,
    ) -> Result<Project, CliError> {
        let loaded = compose::load(&request(flags)?, disk).map_err(wrong)?;
        for warning in &loaded.warnings {
            writeln!(self.err, "{warning}")?;
        }
        Ok(loaded.project)
    }

    /// What is typed is read where a file is called so.
    pub(super) fn disk(&mut self, flags: &ProjectFlags) -> Result<Disk, CliError> {
        let mut typed = Vec::new();
        if flags.compose_file.iter().any(|path| is_input(path)) {
            let limit = MAX_FILE as u64 + 1;
            let read = (&mut self.input).take(limit).read_to_end(&mut typed);
            read.map_err(|source| CliError::File {
                path: "the standard input".into(),
                source,
            })?;
        }
        Ok(Disk { typed })
    }
}

fn wrong(problems: compose::Problems) -> CliError {
    Invalid::new(problems.to_string()).into()
}

/// Paths in the first file start where it is.
fn request(flags: &ProjectFlags) -> Result<Request, CliError> {
    let here = std::env::current_dir().map_err(|source| CliError::File {
        path: ".".into(),
        source,
    })?;
    let first = flags.compose_file.first().filter(|path| !is_input(path));
    let project_dir = match first.and_then(|path| path.parent()) {
        Some(dir) => here.join(dir),
        None => here,
    };
    // What is no text can be the value of no variable in a file.
    let text = |variable: std::ffi::OsString| variable.into_string().ok();
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((text(name)?, text(value)?)))
        .collect();
    Ok(Request {
        files: flags.compose_file.clone(),
        project_dir,
        environment,
        env_files: None,
        profiles: flags.profile.iter().cloned().collect(),
    })
}

fn is_input(path: &Path) -> bool {
    path == Path::new("-")
}

/// This host's files, and what was typed as the file `-`.
pub(super) struct Disk {
    typed: Vec<u8>,
}

impl Disk {
    /// The bytes of a secret or a config.
    pub(super) fn content(&self, source: &FileSource) -> Result<Vec<u8>, String> {
        let read = source.read(self).map_err(|error| match source {
            FileSource::File(path) => format!("{}: {error}", path.display()),
            _ => error.to_string(),
        })?;
        Ok(read.map(|data| data.bytes().to_vec()).unwrap_or_default())
    }
}

impl Files for Disk {
    fn read(&self, path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
        if is_input(path) {
            return match self.typed.len() > limit {
                true => Err(FileError::TooLarge),
                false => Ok(self.typed.clone()),
            };
        }
        let data = read(path, limit as u64 + 1).map_err(|error| match error.kind() {
            ErrorKind::NotFound => FileError::Missing,
            _ => FileError::Unreadable(error.to_string()),
        })?;
        match data.len() > limit {
            true => Err(FileError::TooLarge),
            false => Ok(data),
        }
    }
}

fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut data = Vec::new();
    std::fs::File::open(path)?
        .take(most)
        .read_to_end(&mut data)?;
    Ok(data)
}
