//! The init's end of the control socket.

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::supervisor::Supervisor;
use crate::control::{self, Request, Response};
use crate::error::{Context, Result};

/// A client that says nothing does not keep the others waiting for long.
const PATIENCE: Duration = Duration::from_secs(2);

/// Answers on `socket` from a thread of its own, one client after the other.
pub(super) fn spawn(socket: &Path, supervisor: Arc<Supervisor>) -> Result<()> {
    let listener =
        UnixListener::bind(socket).context(|| format!("listen at {}", socket.display()))?;
    thread::Builder::new()
        .name("control".into())
        .spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Err(e) = answer(&stream, &supervisor) {
                    eprintln!("control: {e}");
                }
            }
        })
        .context(|| "start the control thread".into())?;
    Ok(())
}

fn answer(stream: &UnixStream, supervisor: &Supervisor) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let done = match control::receive(stream)? {
        Request::Status => Ok(()),
        Request::Start(service) => supervisor.start(service),
        Request::Signal(service, signal) => supervisor.signal(service, signal),
    };
    let response: Response = done.map(|()| supervisor.reports());
    control::send(stream, &response)
}
