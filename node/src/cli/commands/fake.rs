//! A daemon that is played: it answers from a script and remembers what it was
//! asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use clap::Parser;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixListener;

use super::Session;
use crate::cli::args::{Cli, Command};
use crate::cli::client::Client;
use crate::cli::error::CliError;

#[derive(Clone)]
pub struct Answer(pub u16, pub Vec<u8>);

/// `METHOD /path` to its answers; the last one is given again and again.
pub type Script = BTreeMap<String, Vec<Answer>>;

/// What is left of the script, and what was asked.
type Play = (Arc<Mutex<Script>>, Arc<Mutex<Vec<String>>>);

pub struct Daemon {
    dir: TempDir,
    pub asked: Arc<Mutex<Vec<String>>>,
}

/// What a command printed, and how it ended.
pub struct Ended {
    pub out: String,
    pub err: String,
    pub result: Result<(), CliError>,
}

impl Daemon {
    pub fn start(script: &[(&str, u16, Value)]) -> Self {
        let mut answers = Script::new();
        for (request, status, body) in script {
            let bytes = match body {
                Value::String(text) if !request.ends_with("init") => text.clone().into_bytes(),
                body => body.to_string().into_bytes(),
            };
            let list = answers.entry((*request).to_owned()).or_default();
            list.push(Answer(*status, bytes));
        }
        Self::serve(answers)
    }

    pub fn serve(script: Script) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("swarmlet.sock")).unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let state = (Arc::new(Mutex::new(script)), asked.clone());
        let app = axum::Router::new().fallback(play).with_state(state);
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { dir, asked }
    }

    pub async fn run(&self, line: &[&str]) -> Ended {
        self.run_with(line, "").await
    }

    /// As [`Daemon::run`], with somebody who types `input`.
    pub async fn run_with(&self, line: &[&str], input: &str) -> Ended {
        let socket = self.dir.path().join("swarmlet.sock");
        run_with(socket.to_str().unwrap(), line, input).await
    }

    /// The requests that change something, with their bodies.
    pub fn changes(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let is_change = |request: &&String| !request.starts_with("GET");
        asked.iter().filter(is_change).cloned().collect()
    }
}

async fn play(State((script, asked)): State<Play>, request: Request) -> Response {
    let line = format!("{} {}", request.method(), request.uri().path());
    let whole = format!("{} {}", request.method(), request.uri());
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    asked
        .lock()
        .unwrap()
        .push(format!("{whole} {body}").trim().to_owned());
    let mut script = script.lock().unwrap();
    match script.get_mut(&line) {
        Some(answers) => {
            let answer = answers[0].clone();
            if answers.len() > 1 {
                answers.remove(0);
            }
            let status = StatusCode::from_u16(answer.0).unwrap();
            (status, Body::from(answer.1)).into_response()
        }
        None => {
            let error = json!({"message": format!("{line} not found")});
            (StatusCode::NOT_FOUND, error.to_string()).into_response()
        }
    }
}

pub async fn run_at(socket: &str, line: &[&str]) -> Ended {
    run_with(socket, line, "").await
}

async fn run_with(socket: &str, line: &[&str], input: &str) -> Ended {
    let line = [&["swarmlet", "-H", socket], line].concat();
    let cli = Cli::try_parse_from(line).unwrap_or_else(|error| panic!("{error}"));
    let Command::Client(command) = cli.command else {
        panic!("the daemon");
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut session = Session {
        client: Client::new(cli.host),
        input: &mut input.as_bytes(),
        out: &mut out,
        err: &mut err,
        terminal: false,
        keyboard: false,
    };
    let result = session.run(command).await;
    Ended {
        out: String::from_utf8(out).unwrap(),
        err: String::from_utf8(err).unwrap(),
        result,
    }
}
