//! `GET /events`: those of the local engine, and between them those of the
//! swarm, which every manager tells of what it applied.
//!
//! The engine reads the request as it is, and decides what is refused and, with
//! `until`, when it ends. Its stream is passed on in whole lines.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use axum::http::{HeaderValue, Request};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, Stream, StreamExt};
use services::Timestamp;
use services::happened::Happened;

use super::backend::{Backend, LocalState};
use super::engine::Engine;
use super::error::ApiError;
use super::query::{Filters, Query};
use super::{convert, swarm};
use crate::clock;

/// Of a line of the engine's, in bytes; what is longer is passed on in pieces.
const MAX_LINE: usize = 1 << 20;

type Lines = BoxStream<'static, Result<Bytes, axum::Error>>;

pub(super) async fn merged(
    backend: Arc<dyn Backend>,
    engine: &Engine,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let query = Query::of(request.uri())?;
    let (head, engines) = match engine.send(request).await {
        Ok(answer) if !answer.status().is_success() => return Ok(answer),
        Ok(answer) => {
            let (head, body) = answer.into_parts();
            (Some(head), Some(lines(body)))
        }
        Err(error) if backend.local() == LocalState::Inactive => return Err(error),
        Err(_) => (None, None),
    };
    let wanted = Wanted::by(&query)?;
    let (past, seen) = wanted.past(&*backend);
    let past = stream::iter((!past.is_empty()).then_some(Ok(past)));
    let ours = news(backend, wanted.clone(), seen);
    let news: Lines = match engines {
        Some(engines) => until_first_ends(engines, ours).boxed(),
        None => ours.take_until(wanted.end()).boxed(),
    };
    let mut response = Response::new(Body::from_stream(past.chain(news)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(head) = head {
        headers.extend(head.headers);
        headers.remove(CONTENT_LENGTH);
        headers.remove(TRANSFER_ENCODING);
    }
    Ok(response)
}

/// Both as they come; the end of `first` is the end.
fn until_first_ends(first: Lines, second: Lines) -> impl Stream<Item = Result<Bytes, axum::Error>> {
    let first = first.map(Some).chain(stream::once(async { None }));
    let both = stream::select(first, second.map(Some));
    both.take_while(|item| std::future::ready(item.is_some()))
        .filter_map(std::future::ready)
}

/// The body in pieces that end with a line.
fn lines(body: Body) -> Lines {
    let state = (body.into_data_stream(), BytesMut::new());
    let read = stream::unfold(state, |(mut body, mut begun)| async move {
        loop {
            match body.next().await {
                Some(Ok(data)) => {
                    begun.extend_from_slice(&data);
                    let end = begun.iter().rposition(|byte| *byte == b'\n');
                    let end = end.map(|end| end + 1);
                    let end = end.or((begun.len() > MAX_LINE).then_some(begun.len()));
                    if let Some(end) = end {
                        let whole = begun.split_to(end).freeze();
                        return Some((Ok(whole), (body, begun)));
                    }
                }
                Some(Err(error)) => return Some((Err(error), (body, begun))),
                None if begun.is_empty() => return None,
                None => return Some((Ok(begun.split().freeze()), (body, begun))),
            }
        }
    });
    read.boxed()
}

/// What happens to the swarm's objects from now on.
fn news(backend: Arc<dyn Backend>, wanted: Wanted, seen: u64) -> Lines {
    let state = (backend, wanted, seen);
    let told = stream::unfold(state, |(backend, wanted, mut seen)| async move {
        loop {
            backend.happens(seen).await;
            let (news, count) = backend.happened(seen);
            seen = count;
            let text = wanted.text(&news);
            if !text.is_empty() {
                return Some((Ok(text), (backend, wanted, seen)));
            }
        }
    });
    told.boxed()
}

/// Which events are asked for.
#[derive(Clone)]
struct Wanted {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    filters: Filters,
}

impl Wanted {
    fn by(query: &Query) -> Result<Self, ApiError> {
        Ok(Self {
            since: swarm::since(query.text("since"))?,
            until: swarm::since(query.text("until"))?,
            filters: Filters::parse(query.text("filters"))?,
        })
    }

    /// What is remembered, where that is asked for, and how much there was.
    fn past(&self, backend: &dyn Backend) -> (Bytes, u64) {
        let (kept, seen) = backend.happened(0);
        match self.since {
            Some(_) => (self.text(&kept), seen),
            None => (Bytes::new(), seen),
        }
    }

    /// At the time that was asked for, or never.
    fn end(&self) -> BoxFuture<'static, ()> {
        let Some(until) = self.until else {
            return std::future::pending().boxed();
        };
        let left = Duration::from_nanos(until.0.saturating_sub(clock::now().0));
        tokio::time::sleep(left).boxed()
    }

    /// A line of JSON for each that matches.
    fn text(&self, told: &[Happened]) -> Bytes {
        let mut text = Vec::new();
        for event in told.iter().filter(|event| self.matches(event)) {
            // Writing text to memory cannot fail.
            if serde_json::to_writer(&mut text, &convert::happened(event)).is_ok() {
                text.push(b'\n');
            }
        }
        text.into()
    }

    /// As Docker matches: names and ids by their beginning, and an event has no
    /// name of another kind.
    fn matches(&self, event: &Happened) -> bool {
        const NAMED: [&str; 9] = [
            "daemon",
            "container",
            "plugin",
            "volume",
            "network",
            "node",
            "service",
            "secret",
            "config",
        ];
        let filters = &self.filters;
        let id = event.id.to_string();
        let name = event.attributes.get("name").map_or("", String::as_str);
        let in_time = self.since.is_none_or(|since| event.at >= since)
            && self.until.is_none_or(|until| event.at <= until);
        let named = NAMED.iter().all(|key| {
            filters.any(key, |wanted| {
                id.starts_with(wanted) || name.starts_with(wanted)
            })
        });
        in_time
            && named
            && filters.equals("type", event.kind.as_str())
            && filters.equals("event", event.action.as_str())
            && filters.equals("scope", "swarm")
            && filters.values("image").next().is_none()
            && filters.labels("label", &event.attributes)
    }
}
