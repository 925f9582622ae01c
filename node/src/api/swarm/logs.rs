//! `/services/{id}/logs` and `/tasks/{id}/logs`.
//!
//! The tasks' streams are merged as they come; with `follow`, tasks that
//! appear later join in. A task whose node does not answer does not hold up
//! the others: what is missing is said at the end, as Docker says it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream::{BoxStream, SelectAll};
use futures::{Stream, StreamExt, TryStreamExt};
use services::object::{Task, TaskState};
use services::{Id, State, Timestamp};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{Call, Reply, look, stdcopy};
use crate::api::backend::{Manager, View};
use crate::api::error::ApiError;
use crate::api::query::Query;
use crate::api::route::ApiVersion;
use crate::runtime::{LogFrame, LogOptions};

/// How often a followed service is looked at for new tasks.
const NEW_TASKS_EVERY: Duration = Duration::from_millis(500);

const RAW: &str = "application/vnd.docker.raw-stream";
const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";
/// Before this, multiplexed streams were called raw.
const MULTIPLEXED_SINCE: ApiVersion = ApiVersion(1, 42);

#[derive(Debug, Clone, Copy)]
enum Source {
    Service(Id),
    Task(Id),
}

/// How a line is written.
#[derive(Debug, Clone, Copy)]
struct Form {
    timestamps: bool,
    details: bool,
    multiplexed: bool,
}

pub(super) fn of_service(swarm: &Arc<dyn Manager>, id: &str, call: &Call) -> Reply {
    let options = options(&call.query)?;
    let (source, tty) = look(&**swarm, |view| {
        let service = view.state.find_service(id).map_err(ApiError::lookup)?;
        let tty = service.spec.task.container.tty;
        Ok((Source::Service(service.id), tty))
    })?;
    Ok(respond(swarm, source, options, tty, call))
}

pub(super) fn of_task(swarm: &Arc<dyn Manager>, id: &str, call: &Call) -> Reply {
    let options = options(&call.query)?;
    let (source, tty) = look(&**swarm, |view| {
        let task = view.state.find_task(id).map_err(ApiError::lookup)?;
        Ok((Source::Task(task.id), task.spec.task.container.tty))
    })?;
    Ok(respond(swarm, source, options, tty, call))
}

fn options(query: &Query) -> Result<LogOptions, ApiError> {
    let (stdout, stderr) = (query.flag("stdout"), query.flag("stderr"));
    if !stdout && !stderr {
        let text = "Bad parameters: you must choose at least one stream";
        return Err(ApiError::internal(text));
    }
    Ok(LogOptions {
        follow: query.flag("follow"),
        stdout,
        stderr,
        since: since(query.text("since"))?,
        until: None,
        // As Docker: what is no number is "all".
        tail: query.text("tail").parse().ok(),
        details: query.flag("details"),
    })
}

/// `seconds[.nanoseconds]` since the epoch, or RFC 3339.
pub(in crate::api) fn since(text: &str) -> Result<Option<Timestamp>, ApiError> {
    let refused =
        || ApiError::bad_request(format!("invalid value for \"since\": {text:?} is no time"));
    if matches!(text, "" | "0") {
        return Ok(None);
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        let nanos = u64::try_from(time.as_nanosecond()).map_err(|_| refused())?;
        return Ok(Some(Timestamp(nanos)));
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(refused());
    }
    let seconds: u64 = seconds.parse().map_err(|_| refused())?;
    let nanos: u64 = format!("{fraction:0<9}").parse().map_err(|_| refused())?;
    let total = seconds
        .checked_mul(1_000_000_000)
        .and_then(|total| total.checked_add(nanos));
    total
        .map(|nanos| Some(Timestamp(nanos)))
        .ok_or_else(refused)
}

fn respond(
    swarm: &Arc<dyn Manager>,
    source: Source,
    options: LogOptions,
    tty: bool,
    call: &Call,
) -> Response {
    let form = Form {
        timestamps: call.query.flag("timestamps"),
        details: call.query.flag("details"),
        multiplexed: !tty,
    };
    let old = call
        .version
        .is_some_and(|version| version < MULTIPLEXED_SINCE);
    let content_type = if tty || old { RAW } else { MULTIPLEXED };
    let body = merged(Arc::clone(swarm), source, options, form);
    let body = Body::from_stream(body.map(Ok::<_, std::convert::Infallible>));
    ([(CONTENT_TYPE, content_type)], body).into_response()
}

/// The part of a task's name in the log that never changes.
struct Origin {
    task: Id,
    service: Id,
    node: Id,
}

struct Merge {
    swarm: Arc<dyn Manager>,
    source: Source,
    options: LogOptions,
    form: Form,
    known: BTreeSet<Id>,
    streams: SelectAll<BoxStream<'static, Result<Bytes, String>>>,
    again: Interval,
    failures: Vec<String>,
    /// No task will join any more.
    finished: bool,
}

fn merged(
    swarm: Arc<dyn Manager>,
    source: Source,
    options: LogOptions,
    form: Form,
) -> impl Stream<Item = Bytes> + Send + 'static {
    let mut again = interval(NEW_TASKS_EVERY);
    again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut merge = Merge {
        swarm,
        source,
        options,
        form,
        known: BTreeSet::new(),
        streams: SelectAll::new(),
        again,
        failures: Vec::new(),
        finished: false,
    };
    merge.finished = !merge.open_new() || !merge.options.follow;
    futures::stream::unfold(merge, |mut merge| async move {
        let bytes = merge.next().await?;
        Some((bytes, merge))
    })
}

impl Merge {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            tokio::select! {
                Some(read) = self.streams.next() => match read {
                    Ok(bytes) => return Some(bytes),
                    Err(reason) => self.failures.push(reason),
                },
                _ = self.again.tick(), if !self.finished => self.finished = !self.open_new(),
                else => return self.complaint(),
            }
        }
    }

    /// Adds the tasks that were not there before. Whether more may come.
    fn open_new(&mut self) -> bool {
        let first = self.known.is_empty();
        let seen = look(&*self.swarm, |view| Ok(origins(view, self.source)));
        let Ok((origins, more)) = seen else {
            return false;
        };
        for origin in origins {
            if self.known.insert(origin.task) {
                self.streams.push(self.open(origin, first));
            }
        }
        more
    }

    /// All that a task wrote since it began, if it began while we followed.
    fn open(&self, origin: Origin, first: bool) -> BoxStream<'static, Result<Bytes, String>> {
        let (swarm, form) = (Arc::clone(&self.swarm), self.form);
        let options = LogOptions {
            tail: self.options.tail.filter(|_| first),
            ..self.options.clone()
        };
        let task = origin.task;
        let opened = async move {
            swarm
                .logs(task, options)
                .await
                .map_err(|error| error.message)
        };
        futures::stream::once(opened)
            .map_ok(|frames| frames.map_err(|error| error.to_string()))
            .try_flatten()
            .map_ok(move |frame| written(&frame, &origin, form))
            .map_err(move |reason| format!("task {task}: {reason}"))
            .boxed()
    }

    /// What could not be read, said once, after everything that could.
    fn complaint(&mut self) -> Option<Bytes> {
        if self.failures.is_empty() {
            return None;
        }
        let reasons = std::mem::take(&mut self.failures).join(", ");
        let text = format!(
            "Error grabbing logs: rpc error: code = Unknown desc = warning: incomplete log \
             stream. some logs could not be retrieved for the following reasons: {reasons}\n"
        );
        Some(stdcopy::error(&text, self.form.multiplexed))
    }
}

/// The tasks that have written or soon will, and whether more may come.
fn origins(view: View<'_>, source: Source) -> (Vec<Origin>, bool) {
    let origin = |task: &Arc<Task>| {
        let status = State::effective(task, view.observed);
        let runs = (TaskState::Starting..=TaskState::Running).contains(&status.state);
        let node = task.node.filter(|_| runs || status.container.is_some())?;
        Some(Origin {
            task: task.id,
            service: task.service,
            node,
        })
    };
    match source {
        Source::Service(id) => (
            view.state.tasks_of_service(id).filter_map(origin).collect(),
            view.state.service(id).is_some(),
        ),
        Source::Task(id) => {
            let task = view.state.task(id);
            let waits = task.is_some_and(|task| {
                State::effective(task, view.observed).state < TaskState::Starting
            });
            (task.and_then(origin).into_iter().collect(), waits)
        }
    }
}

/// `[time ]<details> line`, for each line of the frame.
fn written(frame: &LogFrame, origin: &Origin, form: Form) -> Bytes {
    let mut prefix = String::new();
    if form.timestamps {
        let nanos = frame.at.unwrap_or_default().0;
        let time = jiff::Timestamp::from_nanosecond(nanos.into()).unwrap_or_default();
        let _ = write!(prefix, "{time:.9} ");
    }
    if form.details {
        prefix.push_str(&details(&frame.details, origin));
        prefix.push(' ');
    }
    let mut text = Vec::with_capacity(prefix.len() + frame.data.len());
    for line in frame.data.split_inclusive(|byte| *byte == b'\n') {
        text.extend_from_slice(prefix.as_bytes());
        text.extend_from_slice(line);
    }
    stdcopy::frame(frame.stream, &text, form.multiplexed)
}

/// What the log driver kept and where the line is from, in the order of their
/// keys. Nothing of the former can pose as the latter.
fn details(kept: &str, origin: &Origin) -> String {
    let said = [
        ("com.docker.swarm.node.id", origin.node),
        ("com.docker.swarm.service.id", origin.service),
        ("com.docker.swarm.task.id", origin.task),
    ];
    let mut pairs: BTreeMap<&str, String> = BTreeMap::new();
    for pair in kept.split(',') {
        // It comes from another node, and a line stays one.
        let is_one = !pair.contains(|c: char| c.is_whitespace() || c.is_control());
        if let Some((key, value)) = pair.split_once('=').filter(|_| is_one) {
            pairs.insert(key, value.to_owned());
        }
    }
    pairs.extend(said.map(|(key, id)| (key, id.to_string())));
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(key, it)| format!("{key}={it}"))
        .collect();
    pairs.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::LogStream;

    #[test]
    fn since_is_read_as_clients_send_it() {
        for (text, expected) in [
            ("", None),
            ("0", None),
            ("1795215734", Some(1_795_215_734_000_000_000)),
            ("1795215734.5", Some(1_795_215_734_500_000_000)),
            ("1795215734.000000001", Some(1_795_215_734_000_000_001)),
            ("2026-11-20T23:02:14Z", Some(1_795_215_734_000_000_000)),
        ] {
            assert_eq!(since(text), Ok(expected.map(Timestamp)), "{text}");
        }
        for text in ["x", "1.x", "1.0000000000", "99999999999999999999", "-1"] {
            assert!(since(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_line_is_written_with_its_time_and_its_origin() {
        let frame = LogFrame {
            stream: LogStream::Stdout,
            at: Some(Timestamp(1_795_215_734_080_000_000)),
            details: "tier=front+a,app=x,com.docker.swarm.task.id=other,a\nb=c".into(),
            data: Bytes::from_static(b"hello\n"),
        };
        let origin = Origin {
            task: Id::from_u128(3),
            service: Id::from_u128(2),
            node: Id::from_u128(1),
        };
        let form = Form {
            timestamps: true,
            details: true,
            multiplexed: false,
        };
        assert_eq!(
            written(&frame, &origin, form),
            "2026-11-20T23:02:14.080000000Z app=x,\
             com.docker.swarm.node.id=0000000000000000000000001,\
             com.docker.swarm.service.id=0000000000000000000000002,\
             com.docker.swarm.task.id=0000000000000000000000003,tier=front+a hello\n"
        );
    }
}
