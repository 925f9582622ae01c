//! Logs of a task, fetched from the node that runs it.
//!
//! The leader asks the manager that holds the node's session, which asks the
//! node over the connection that the node itself opened: so it works where the
//! node can be reached by nobody. The answer is one frame that says whether
//! there is a log, then a frame per message.

use std::io;
use std::time::Duration;

use certs::NodeId;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use quinn::{RecvStream, SendStream};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use services::{Id, Timestamp};
use tokio::time::timeout;

use crate::control::frame;
use crate::control::message::{LogsRequest, Open};
use crate::manager::Manager;
use crate::runtime::{LogFrame, LogOptions, LogStream};
use crate::worker::Agent;

/// For the node to say whether it has the log.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// One message of the engine's log driver, or a part of a long one.
#[derive(Debug, Serialize, Deserialize)]
struct Message {
    stderr: bool,
    at: Option<Timestamp>,
    data: Vec<u8>,
}

/// The same with what its log driver was told to keep of the container.
#[derive(Debug, Serialize, Deserialize)]
struct DetailedMessage {
    details: String,
    message: Message,
}

type Frames = BoxStream<'static, io::Result<LogFrame>>;

/// Opens the log of a task on `node`.
pub async fn open(
    manager: &Manager,
    node: NodeId,
    task: Id,
    options: &LogOptions,
) -> io::Result<Frames> {
    let request = LogsRequest {
        node,
        task,
        follow: options.follow,
        stdout: options.stdout,
        stderr: options.stderr,
        since: options.since,
        until: options.until,
        tail: options.tail,
    };
    if options.details {
        match ask(manager, node, Open::DetailedLogs(request)).await {
            Ok(from) => return Ok(frames::<DetailedMessage>(from)),
            // It, or the manager that has its session, is of a release that
            // does not know them.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(error),
        }
    }
    let from = ask(manager, node, Open::Logs(request)).await?;
    Ok(frames::<Message>(from))
}

/// The stream on which the messages come.
async fn ask(manager: &Manager, node: NodeId, open: Open) -> io::Result<RecvStream> {
    let connection = manager.way_to(node).await?;
    let (mut out, mut from) = connection.open_bi().await?;
    frame::send(&mut out, &open).await?;
    out.finish().map_err(io::Error::other)?;
    let answered = timeout(ANSWER_WITHIN, frame::recv::<Result<(), String>>(&mut from)).await;
    match answered.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
        Some(Ok(())) => Ok(from),
        Some(Err(reason)) => Err(io::Error::other(reason)),
        None => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
    }
}

fn frames<M>(from: RecvStream) -> Frames
where
    M: DeserializeOwned + Into<LogFrame> + Send + 'static,
{
    let frames = stream::unfold(from, |mut from| async move {
        let message = frame::recv::<M>(&mut from).await.transpose()?;
        Some((message.map(M::into), from))
    });
    frames.boxed()
}

/// The node's part.
pub async fn answer(
    agent: &Agent,
    request: LogsRequest,
    details: bool,
    mut out: SendStream,
) -> io::Result<()> {
    let options = LogOptions {
        follow: request.follow,
        stdout: request.stdout,
        stderr: request.stderr,
        since: request.since,
        until: request.until,
        tail: request.tail,
        details,
    };
    let mut frames = match agent.logs(request.task, &options).await {
        Ok(frames) => frames,
        Err(error) => {
            let refused = Err(error.to_string());
            frame::send::<Result<(), String>>(&mut out, &refused).await?;
            return out.finish().map_err(io::Error::other);
        }
    };
    frame::send::<Result<(), String>>(&mut out, &Ok(())).await?;
    loop {
        let next = tokio::select! {
            next = frames.next() => next,
            _ = out.stopped() => return Ok(()),
        };
        match next {
            None => return out.finish().map_err(io::Error::other),
            Some(Err(error)) => return Err(io::Error::other(error)),
            Some(Ok(frame)) if details => {
                frame::send(&mut out, &DetailedMessage::from(frame)).await?;
            }
            Some(Ok(frame)) => {
                frame::send(&mut out, &Message::from(frame)).await?;
            }
        }
    }
}

impl From<LogFrame> for DetailedMessage {
    fn from(mut frame: LogFrame) -> Self {
        Self {
            details: std::mem::take(&mut frame.details),
            message: frame.into(),
        }
    }
}

impl From<DetailedMessage> for LogFrame {
    fn from(message: DetailedMessage) -> Self {
        Self {
            details: message.details,
            ..message.message.into()
        }
    }
}

impl From<LogFrame> for Message {
    fn from(frame: LogFrame) -> Self {
        Self {
            stderr: frame.stream == LogStream::Stderr,
            at: frame.at,
            data: frame.data.to_vec(),
        }
    }
}

impl From<Message> for LogFrame {
    fn from(message: Message) -> Self {
        Self {
            stream: match message.stderr {
                true => LogStream::Stderr,
                false => LogStream::Stdout,
            },
            at: message.at,
            details: String::new(),
            data: message.data.into(),
        }
    }
}
