//! `unlock` and `unlock-key`, and what is said of the key elsewhere.

use std::io::{BufRead, Read};

use console::Term;

use super::{MAX_TRIES, Session, outdated};
use crate::api::dto::{Info, Swarm, UnlockKey};
use crate::cli::args::UnlockKeyArgs;
use crate::cli::client::Target;
use crate::cli::error::CliError;
use crate::cli::values::Invalid;
use crate::cli::view;

/// More bytes than any key has.
const MOST: u64 = 4 << 10;

impl Session<'_> {
    /// Nobody is asked for a key that is not needed.
    pub(super) async fn unlock(&mut self) -> Result<(), CliError> {
        let info: Info = self.client.get(&Target::new(&["info"])).await?;
        match info.swarm.local_node_state.as_str() {
            "locked" => {}
            "inactive" => return refused("this node is not part of a swarm"),
            _ => return refused("swarm is not locked"),
        }
        let request = UnlockKey {
            unlock_key: self.read_key()?,
        };
        let target = Target::new(&["swarm", "unlock"]);
        self.client.post(&target, &request).await?;
        Ok(())
    }

    /// One line, which a terminal does not show.
    fn read_key(&mut self) -> Result<String, CliError> {
        let read = match self.keyboard {
            true => {
                write!(self.err, "Enter unlock key: ")?;
                self.err.flush()?;
                Term::stderr().read_secure_line()
            }
            false => {
                let mut line = String::new();
                let read = (&mut self.input).take(MOST).read_line(&mut line);
                read.map(|_| line)
            }
        };
        let line = read.map_err(|source| CliError::File {
            path: "the standard input".into(),
            source,
        })?;
        Ok(line.trim().to_owned())
    }

    pub(super) async fn unlock_key(&mut self, args: &UnlockKeyArgs) -> Result<(), CliError> {
        if args.rotate {
            self.rotate_unlock_key().await?;
            if !args.quiet {
                self.print(view::ROTATED_UNLOCK_KEY)?;
            }
        }
        match (self.current_unlock_key().await?, args.quiet) {
            (None, _) => refused("no unlock key is set"),
            (Some(key), true) => self.print(&format!("{key}\n")),
            (Some(key), false) => self.print(&view::unlock_command(&key)),
        }
    }

    async fn rotate_unlock_key(&self) -> Result<(), CliError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let swarm: Swarm = self.client.get(&Target::new(&["swarm"])).await?;
            if !swarm.cluster.spec.encryption_config.auto_lock_managers {
                return refused("cannot rotate because autolock is not turned on");
            }
            let target = Target::new(&["swarm", "update"])
                .query("version", &swarm.cluster.version.index.to_string())
                .query("rotateManagerUnlockKey", "true");
            match self.client.post(&target, &swarm.cluster.spec).await {
                Ok(_) => return Ok(()),
                Err(error) if outdated(&error) && tries < MAX_TRIES => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn current_unlock_key(&self) -> Result<Option<String>, CliError> {
        let target = Target::new(&["swarm", "unlockkey"]);
        let answer: UnlockKey = self.client.get(&target).await?;
        Ok(Some(answer.unlock_key).filter(|key| !key.is_empty()))
    }

    /// To whoever has just turned autolock on.
    pub(super) async fn show_unlock_key(&mut self) -> Result<(), CliError> {
        match self.current_unlock_key().await? {
            Some(key) => self.print(&view::unlock_command(&key)),
            None => Ok(()),
        }
    }
}

fn refused(why: &'static str) -> Result<(), CliError> {
    Err(Invalid::new(why).into())
}

#[cfg(test)]
mod tests;
