//! Answers that many ask for, kept while nothing that they show has changed.
//!
//! Programs show how things get on by asking again and again: the docker
//! program every 200 ms, for all nodes among other things. What is kept is what
//! was answered to the same path and query at the same [`Revision`] of all that
//! answers are made of; with the first change all of it is forgotten.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::BodyExt;
use services::Id;

use super::backend::ManagerView;
use super::error::ApiError;
use super::route::SwarmRoute;
use crate::control::lock;

/// Bytes of answers and questions.
const MOST: usize = 16 << 20;

/// What answers are made of; equal while nothing of it has changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Revision {
    /// Changes of the state.
    pub applied: u64,
    /// Changes of what is seen of nodes and tasks.
    pub seen: u64,
    /// The members of the Raft group.
    pub managers: BTreeMap<Id, ManagerView>,
}

#[derive(Debug, Default)]
pub struct Kept(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    at: Revision,
    bytes: usize,
    answers: HashMap<String, Bytes>,
}

impl Kept {
    pub fn find(&self, question: &str, now: &Revision) -> Option<Bytes> {
        let inner = lock(&self.0);
        let found = inner.answers.get(question).filter(|_| inner.at == *now);
        found.cloned()
    }

    /// Takes what was answered at `at`.
    pub fn keep(&self, question: &str, at: Revision, answer: Bytes) {
        let mut inner = lock(&self.0);
        let size = question.len() + answer.len();
        if inner.at != at || inner.bytes + size > MOST {
            *inner = Inner {
                at,
                ..Inner::default()
            };
        }
        if size <= MOST && inner.answers.insert(question.to_owned(), answer).is_none() {
            inner.bytes += size;
        }
    }
}

/// Whether a route shows no more than what a [`Revision`] is of.
pub fn may_keep(route: SwarmRoute<'_>) -> bool {
    matches!(
        route,
        SwarmRoute::NodeList
            | SwarmRoute::Node(_)
            | SwarmRoute::ServiceList
            | SwarmRoute::Service(_)
            | SwarmRoute::TaskList
            | SwarmRoute::Task(_)
    )
}

/// An answer of these bytes.
pub fn answer(answer: Bytes) -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(CONTENT_TYPE, json)], answer).into_response()
}

/// The bytes of an answer of such a route.
///
/// # Errors
/// 500 where it is not in memory, as they all are.
pub async fn bytes(answer: Response) -> Result<Bytes, ApiError> {
    let body = answer.into_body().collect().await;
    let body = body.map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(body.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(applied: u64) -> Revision {
        Revision {
            applied,
            ..Revision::default()
        }
    }

    #[test]
    fn the_first_change_makes_all_forgotten() {
        let kept = Kept::default();
        kept.keep("/nodes", at(1), "a".into());
        kept.keep("/tasks", at(1), "b".into());
        assert_eq!(kept.find("/nodes", &at(1)).unwrap(), "a");
        assert_eq!(kept.find("/nodes", &at(2)), None);
        kept.keep("/nodes", at(2), "c".into());
        assert_eq!(kept.find("/nodes", &at(2)).unwrap(), "c");
        assert_eq!(kept.find("/tasks", &at(2)), None);
        assert_eq!(kept.find("/nodes", &at(1)), None);
    }

    #[test]
    fn so_much_is_kept_and_no_more() {
        let kept = Kept::default();
        let half = Bytes::from(vec![0; MOST / 2]);
        for question in ["/1", "/2", "/3"] {
            kept.keep(question, at(1), half.clone());
            assert!(lock(&kept.0).bytes <= MOST);
            assert_eq!(kept.find(question, &at(1)).unwrap(), half);
        }
        kept.keep("/4", at(1), vec![0; MOST].into());
        assert_eq!(kept.find("/4", &at(1)), None);
    }
}
