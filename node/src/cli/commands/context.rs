//! `context install` and `rm`: no daemon is asked.

use super::Session;
use crate::cli::args::ContextCommand;
use crate::cli::docker::{Directory, Installed};
use crate::cli::error::CliError;
use crate::cli::values::Invalid;

impl Session<'_> {
    pub(super) fn context(&mut self, command: &ContextCommand) -> Result<(), CliError> {
        let docker = Directory::of_user()?;
        match command {
            ContextCommand::Install(args) => {
                let name = &args.name;
                let installed = docker.install_context(name, self.client.socket())?;
                let mut said = match installed {
                    Installed::Made => format!("Context {name} was made."),
                    Installed::Changed => format!("Context {name} was changed."),
                    Installed::Already => format!("Context {name} is there already."),
                };
                if args.in_use {
                    docker.use_context(name)?;
                    said.push_str(" Every docker command uses it now.\n");
                } else {
                    said.push_str(&format!(" Try: docker --context {name} node ls\n"));
                }
                self.print(&said)
            }
            ContextCommand::Rm(args) if docker.remove_context(&args.name)? => {
                self.print(&format!("{}\n", args.name))
            }
            ContextCommand::Rm(args) => {
                Err(Invalid::new(format!("no such context: {}", args.name)).into())
            }
        }
    }
}
