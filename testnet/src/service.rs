//! The engine or the daemon of a host, as a thing to kill, pause and start.

use std::path::PathBuf;
use std::time::Duration;

use crate::control::{Request, ServiceName, ServiceSignal, ServiceState};
use crate::error::{Error, Result};
use crate::host::{Host, tail};
use crate::http::{self, Response};
use crate::procs::{self, Usage};
use crate::wait::wait_for;

/// How long a service may take until it answers after its start.
const READY: Duration = Duration::from_secs(60);
/// How long a killed process may take to be gone.
const GONE: Duration = Duration::from_secs(10);

/// A service of one host. Nothing restarts it but [`Service::start`].
#[derive(Debug, Clone)]
pub struct Service {
    host: Host,
    name: ServiceName,
}

impl Service {
    pub(crate) fn new(host: Host, name: ServiceName) -> Self {
        Self { host, name }
    }

    /// How it is; process numbers in it are those inside the host.
    pub fn state(&self) -> Result<ServiceState> {
        let reports = self.host.services()?;
        let mine = reports.into_iter().find(|r| r.service == self.name);
        mine.map(|report| report.state)
            .ok_or_else(|| self.error("unknown to the init"))
    }

    /// The machine's number of its process, while it runs.
    pub fn pid(&self) -> Result<i32> {
        match self.state()? {
            ServiceState::Running { pid } | ServiceState::Paused { pid } => {
                procs::outer_pid(self.host.init()?, pid).ok_or_else(|| self.error("just ended"))
            }
            state => Err(self.error(&format!("has no process: {state}"))),
        }
    }

    /// What its process has used so far (for the engine, without containerd).
    pub fn usage(&self) -> Result<Usage> {
        procs::usage(self.pid()?)
    }

    /// SIGKILL, and waits until the process is gone. An engine's containers
    /// run on until it is started again.
    pub fn kill(&self) -> Result<()> {
        self.signal(ServiceSignal::Kill)?;
        self.await_end(GONE)
    }

    /// SIGTERM, and waits up to `limit` for the process to end by itself.
    pub fn stop(&self, limit: Duration) -> Result<()> {
        self.signal(ServiceSignal::Term)?;
        self.await_end(limit)
    }

    /// SIGSTOP: alive but silent, until [`Service::resume`].
    pub fn pause(&self) -> Result<()> {
        self.signal(ServiceSignal::Stop)
    }

    /// SIGCONT.
    pub fn resume(&self) -> Result<()> {
        self.signal(ServiceSignal::Cont)
    }

    /// Starts it and waits until it answers.
    pub fn start(&self) -> Result<()> {
        self.spawn()?;
        self.await_ready()
    }

    /// Starts it without waiting for an answer.
    pub fn spawn(&self) -> Result<()> {
        self.host.control(&Request::Start(self.name)).map(drop)
    }

    /// Waits until it answers; gives up early when it ends instead.
    pub fn await_ready(&self) -> Result<()> {
        let what = format!("the {} of {} to answer", self.name, self.host.name());
        let ready = wait_for(&what, READY, || {
            if self.answers() {
                return Ok(Ok(()));
            }
            match self.state() {
                Ok(ServiceState::Ended { how }) => Ok(Err(how)),
                Ok(state) => Err(format!(
                    "{state}, silent; its log ends:\n{}",
                    self.log_tail()
                )),
                Err(e) => Err(e.to_string()),
            }
        })?;
        ready.map_err(|how| self.error(&format!("ended ({how})\n{}", self.log_tail())))
    }

    /// Does it answer `/_ping` now?
    pub fn answers(&self) -> bool {
        self.api("GET", "/_ping", "")
            .is_ok_and(|answer| answer.status == 200)
    }

    /// One request to its API socket; `body` is JSON or empty.
    pub fn api(&self, method: &str, path: &str, body: &str) -> Result<Response> {
        let socket = match self.name {
            ServiceName::Engine => "/run/docker.sock",
            ServiceName::Daemon => "/run/swarmlet/swarmlet.sock",
        };
        http::over_unix(&self.host.path(socket)?, method, path, body)
    }

    /// Its log on this machine, over all boots.
    pub fn log(&self) -> PathBuf {
        self.host.logs().join(format!("{}.log", self.name))
    }

    pub(crate) fn is_installed(&self) -> Result<bool> {
        Ok(self.state()? != ServiceState::Absent)
    }

    fn signal(&self, signal: ServiceSignal) -> Result<()> {
        let request = Request::Signal(self.name, signal);
        self.host.control(&request).map(drop)
    }

    fn await_end(&self, limit: Duration) -> Result<()> {
        let what = format!("the {} of {} to end", self.name, self.host.name());
        wait_for(&what, limit, || match self.state() {
            Ok(ServiceState::Running { .. } | ServiceState::Paused { .. }) => {
                Err("still running".to_owned())
            }
            Ok(_) => Ok(()),
            Err(e) => Err(e.to_string()),
        })
    }

    fn log_tail(&self) -> String {
        tail(&self.log(), 15)
    }

    fn error(&self, reason: &str) -> Error {
        Error::Service {
            host: self.host.name().to_owned(),
            service: self.name.to_string(),
            reason: reason.to_owned(),
        }
    }
}
