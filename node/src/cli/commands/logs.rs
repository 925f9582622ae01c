//! `service logs`.

use std::collections::BTreeMap;
use std::io::Write;

use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::Session;
use crate::api::dto::{Node, Service, ServiceMode, Task, TaskSpec};
use crate::cli::args::LogsArgs;
use crate::cli::client::{Client, Target};
use crate::cli::error::CliError;
use crate::cli::logs::{Demux, Frame, LogLine, Origin, Stream, prefix};
use crate::cli::values::{Invalid, moment};

/// Following a service for ever meets ever new tasks.
const MAX_PREFIXES: usize = 10_000;

impl Session<'_> {
    pub(super) async fn service_logs(&mut self, args: &LogsArgs) -> Result<(), CliError> {
        let source = Source::find(&self.client, &args.target).await?;
        if source.tty && !args.raw {
            return Err(Invalid::new("tty service logs only supported with --raw").into());
        }
        let body = self.client.stream(&log_target(args, source.kind)?).await?;
        if source.tty {
            return copy(body, self.out).await;
        }
        let mut prefixes = Prefixes {
            client: &self.client,
            args,
            highest_slot: source.highest_slot,
            known: BTreeMap::new(),
        };
        show(body, &mut prefixes, self.out, self.err).await
    }
}

/// What `service logs` was asked about.
struct Source {
    /// The API's collection.
    kind: &'static str,
    tty: bool,
    highest_slot: u64,
}

impl Source {
    async fn find(client: &Client, name: &str) -> Result<Self, CliError> {
        match client
            .get::<Service>(&Target::new(&["services", name]))
            .await
        {
            Ok(service) => {
                return Ok(Self {
                    kind: "services",
                    tty: has_tty(&service.spec.task_template),
                    highest_slot: highest_slot(&service.spec.mode),
                });
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        match client.get::<Task>(&Target::new(&["tasks", name])).await {
            Ok(task) => Ok(Self {
                kind: "tasks",
                tty: has_tty(&task.spec),
                highest_slot: task.slot,
            }),
            Err(error) if error.is_not_found() => {
                Err(Invalid::new(format!("no such task or service: {name}")).into())
            }
            Err(error) => Err(error),
        }
    }
}

fn highest_slot(mode: &ServiceMode) -> u64 {
    let replicas = mode.replicated.as_ref().and_then(|it| it.replicas);
    let job = mode.replicated_job.as_ref();
    // Those of a job begin at zero.
    let last = job.and_then(|it| it.total_completions?.checked_sub(1));
    replicas.or(last).unwrap_or(1)
}

fn has_tty(spec: &TaskSpec) -> bool {
    spec.container_spec.as_ref().is_some_and(|spec| spec.tty)
}

fn log_target(args: &LogsArgs, kind: &str) -> Result<Target, CliError> {
    let flag = |on: bool| if on { "1" } else { "0" };
    let mut target = Target::new(&[kind, &args.target, "logs"])
        .query("stdout", "1")
        .query("stderr", "1")
        .query("follow", flag(args.follow))
        .query("timestamps", flag(args.timestamps))
        .query("tail", &args.tail)
        // Without them there is nothing to tell the tasks' lines apart by.
        .query("details", flag(args.details || !args.raw));
    if let Some(since) = &args.since {
        let zone = jiff::tz::TimeZone::system();
        target = target.query("since", &moment(since, jiff::Timestamp::now(), &zone)?);
    }
    Ok(target)
}

async fn copy(mut body: Incoming, out: &mut dyn Write) -> Result<(), CliError> {
    while let Some(bytes) = next_bytes(&mut body).await? {
        out.write_all(&bytes)?;
        out.flush()?;
    }
    Ok(())
}

async fn next_bytes(body: &mut Incoming) -> Result<Option<bytes::Bytes>, CliError> {
    match body.frame().await {
        None => Ok(None),
        Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
        Some(Err(error)) => Err(CliError::Broken(error.to_string())),
    }
}

async fn show(
    mut body: Incoming,
    prefixes: &mut Prefixes<'_>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), CliError> {
    let malformed = |why: crate::cli::logs::Malformed| CliError::Nonsense {
        what: "logs".into(),
        why: why.to_string(),
    };
    let mut demux = Demux::default();
    while let Some(bytes) = next_bytes(&mut body).await? {
        demux.push(&bytes);
        while let Some(frame) = demux.next_frame().map_err(malformed)? {
            show_frame(&frame, prefixes, out, err).await?;
        }
        out.flush()?;
    }
    demux.finish().map_err(malformed)
}

async fn show_frame<'a>(
    frame: &Frame,
    prefixes: &mut Prefixes<'_>,
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
) -> Result<(), CliError> {
    let into = match frame.stream {
        Stream::Stdout => out,
        Stream::Stderr => err,
        Stream::Error => {
            return Err(CliError::Daemon {
                status: 500,
                message: String::from_utf8_lossy(&frame.bytes).trim().to_owned(),
            });
        }
    };
    let args = prefixes.args;
    if args.raw {
        return Ok(into.write_all(&frame.bytes)?);
    }
    let Some(line) = LogLine::parse(&frame.bytes, args.timestamps) else {
        return Err(CliError::Nonsense {
            what: "logs".into(),
            why: format!(
                "invalid context in log message: {}",
                String::from_utf8_lossy(&frame.bytes).trim_end()
            ),
        });
    };
    if let Some(timestamp) = line.timestamp {
        into.write_all(timestamp)?;
        into.write_all(b" ")?;
    }
    let prefix = prefixes.of(line.origin).await?;
    write!(into, "{prefix}    | ")?;
    if args.details {
        write!(into, "{} ", line.details)?;
    }
    Ok(into.write_all(line.message)?)
}

/// What stands before the lines of each task, asked for once.
struct Prefixes<'a> {
    client: &'a Client,
    args: &'a LogsArgs,
    highest_slot: u64,
    known: BTreeMap<Origin, String>,
}

impl Prefixes<'_> {
    async fn of(&mut self, origin: Origin) -> Result<&str, CliError> {
        if self.known.len() >= MAX_PREFIXES {
            self.known.clear();
        }
        if !self.known.contains_key(&origin) {
            let prefix = self.make(&origin).await?;
            self.known.insert(origin.clone(), prefix);
        }
        Ok(self.known.get(&origin).map_or("", String::as_str))
    }

    /// An object that is gone is called by its id.
    async fn make(&self, origin: &Origin) -> Result<String, CliError> {
        let (mut node, mut service, mut slot) = (None, None, 0);
        if !self.args.no_resolve {
            node = found(
                self.client
                    .get(&Target::new(&["nodes", &origin.node]))
                    .await,
            )?
            .map(|node: Node| node.description.hostname);
            service = found(
                self.client
                    .get(&Target::new(&["services", &origin.service]))
                    .await,
            )?
            .map(|service: Service| service.spec.name);
        }
        let task = self
            .client
            .get(&Target::new(&["tasks", &origin.task]))
            .await;
        if let Some(task) = found::<Task>(task)? {
            slot = task.slot;
        }
        Ok(prefix(
            self.args,
            service.as_deref().unwrap_or(&origin.service),
            slot,
            &origin.task,
            node.as_deref().unwrap_or(&origin.node),
            self.highest_slot,
        ))
    }
}

fn found<T>(answer: Result<T, CliError>) -> Result<Option<T>, CliError> {
    match answer {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
