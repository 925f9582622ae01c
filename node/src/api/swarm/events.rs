//! `/swarmlet/events`: what happened lately, a JSON object a line.
//!
//! With `follow` the answer goes on until the leader leads no more; whoever
//! wants to know more then asks the next one.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream;

use super::{Call, Reply, logs};
use crate::api::backend::Manager;
use crate::api::convert;
use crate::api::error::ApiError;
use crate::manager::events::Event;

pub(super) fn list(swarm: &Arc<dyn Manager>, call: &Call) -> Reply {
    let since = logs::since(call.query.text("since"))?.unwrap_or_default();
    let (mut events, seen) = swarm.events(0);
    events.retain(|event| event.at >= since);
    let first = lines(&events)?;
    let body = match call.query.flag("follow") {
        false => Body::from(first),
        true => Body::from_stream(stream::once(async { Ok(first) }).chain(rest(swarm, seen))),
    };
    let mut response = Response::new(body);
    let json = axum::http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response.into_response())
}

fn rest(
    swarm: &Arc<dyn Manager>,
    seen: u64,
) -> impl futures::Stream<Item = Result<Bytes, ApiError>> + use<> {
    stream::unfold((Arc::clone(swarm), seen), |(swarm, seen)| async move {
        if !swarm.next_event(seen).await {
            return None;
        }
        let (events, seen) = swarm.events(seen);
        Some((lines(&events), (swarm, seen)))
    })
}

fn lines(events: &[Event]) -> Result<Bytes, ApiError> {
    let mut text = Vec::new();
    for event in events {
        serde_json::to_writer(&mut text, &convert::event(event))
            .map_err(|error| ApiError::internal(error.to_string()))?;
        text.push(b'\n');
    }
    Ok(text.into())
}
