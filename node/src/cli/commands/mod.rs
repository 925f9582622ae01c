//! The commands: read what is there, decide with the pure modules, send, show.

mod ca;
mod context;
mod file;
mod inspect;
mod list;
mod logs;
mod network;
mod node;
mod service;
mod service_change;
mod site;
mod stack;
mod swarm;
mod unlock;
mod watch;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

use std::io::{BufRead, Write};

use serde_json::{Map, Value};

use super::args::{ClientCommand, Filter};
use super::client::{Client, Target};
use super::error::CliError;
use super::progress::Drawing;
use crate::api::dto::{Info, Time};

/// What a command works with.
pub struct Session<'a> {
    pub client: Client,
    /// Where questions are answered.
    pub input: &'a mut dyn BufRead,
    pub out: &'a mut dyn Write,
    pub err: &'a mut dyn Write,
    /// Standard output is a terminal.
    pub terminal: bool,
    /// Standard input is one: somebody types.
    pub keyboard: bool,
}

impl Session<'_> {
    /// Carries out one command.
    pub async fn run(&mut self, command: ClientCommand) -> Result<(), CliError> {
        match command {
            ClientCommand::Init(args) => self.init(&args).await,
            ClientCommand::Join(args) => self.join(&args).await,
            ClientCommand::Up(args) => self.up(&args).await,
            ClientCommand::Discover(args) => self.discover(&args).await,
            ClientCommand::SiteKey => self.site_key(),
            ClientCommand::Leave(args) => self.leave(&args).await,
            ClientCommand::JoinToken(args) => self.join_token(&args).await,
            ClientCommand::Unlock => self.unlock().await,
            ClientCommand::UnlockKey(args) => self.unlock_key(&args).await,
            ClientCommand::Ca(args) => self.ca(&args).await,
            ClientCommand::Info(args) => self.info(&args).await,
            ClientCommand::Update(args) => self.update(&args).await,
            ClientCommand::Members(args) => self.members(&args).await,
            ClientCommand::Events(args) => self.events(&args).await,
            ClientCommand::Node(command) => self.node(command).await,
            ClientCommand::Service(command) => self.service(command).await,
            ClientCommand::Stack(command) => self.stack(command).await,
            ClientCommand::Network(command) => self.network(command).await,
            ClientCommand::Secret(command) => self.secret(command).await,
            ClientCommand::Config(command) => self.config(command).await,
            ClientCommand::Context(command) => self.context(&command),
        }
    }

    fn print(&mut self, text: &str) -> Result<(), CliError> {
        self.out.write_all(text.as_bytes())?;
        Ok(self.out.flush()?)
    }

    fn warn(&mut self, warnings: &[String]) -> Result<(), CliError> {
        for warning in warnings {
            writeln!(self.err, "{warning}")?;
        }
        Ok(())
    }

    fn drawing(&self, quiet: bool) -> Drawing {
        Drawing::new(quiet, self.terminal)
    }

    /// The id of the node that is asked.
    async fn own_id(&self) -> Result<String, CliError> {
        let info: Info = self.client.get(&Target::new(&["info"])).await?;
        if !info.swarm.node_id.is_empty() {
            return Ok(info.swarm.node_id);
        }
        if !info.swarm.error.is_empty() {
            return Err(CliError::Daemon {
                status: 503,
                message: info.swarm.error,
            });
        }
        // The daemon knows best why a node that is in no swarm has no id.
        let nodes = Target::new(&["nodes"]);
        self.client.text(hyper::Method::GET, &nodes).await?;
        Err(CliError::Nonsense {
            what: "/info".into(),
            why: "the node has no id".into(),
        })
    }

    /// `self` as the id that it stands for.
    async fn node_ref(&self, node: &str) -> Result<String, CliError> {
        match node {
            "self" => self.own_id().await,
            node => Ok(node.to_owned()),
        }
    }
}

/// Filters as the API takes them: `{"key":{"value":true}}`.
fn filters<'a>(filters: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut map = Map::new();
    for (key, value) in filters {
        let values = map
            .entry(key)
            .or_insert_with(|| Value::Object(Map::new()))
            .as_object_mut();
        if let Some(values) = values {
            values.insert(value.to_owned(), Value::Bool(true));
        }
    }
    Value::Object(map).to_string()
}

fn pairs(filters: &[Filter]) -> impl Iterator<Item = (&str, &str)> {
    filters.iter().map(|f| (f.key.as_str(), f.value.as_str()))
}

fn with_filters(target: Target, given: &[Filter]) -> Target {
    match given.is_empty() {
        true => target,
        false => target.query("filters", &filters(pairs(given))),
    }
}

fn now() -> Time {
    let nanos = jiff::Timestamp::now().as_nanosecond();
    Time(services::Timestamp(u64::try_from(nanos).unwrap_or(0)))
}

/// Whether to read again and change what is there now: somebody else was
/// faster. What flags ask for holds for the newer spec as well.
fn outdated(error: &CliError) -> bool {
    matches!(error, CliError::Daemon { message, .. } if message.ends_with("update out of sequence"))
}

/// How often a change is tried on a newer version.
const MAX_TRIES: usize = 5;
