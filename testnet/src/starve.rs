//! A service that hardly gets to run.
//!
//! Its process is stopped and continued in a rhythm, and shares the one CPU that
//! it may use with a busy loop of higher priority. The loop is a thread of the
//! harness: to the scheduler it is all the same whose it is, and it cannot
//! outlive the test. Only that CPU is taken; the other hosts have the rest.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{
    Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal, setpriority_process,
};
use rustix::thread::{CpuSet, gettid, sched_getaffinity, sched_setaffinity};

use crate::error::{Context, Error, Result};
use crate::service::Service;

/// For how long the process is stopped, and for how long it then may run.
const RHYTHM: Duration = Duration::from_millis(300);
const CPU: usize = 0;
/// Nine times the weight of a thread with none.
const NICENESS: i32 = -10;

/// A process that starves until this is dropped.
#[derive(Debug)]
pub struct Starving {
    process: Pid,
    before: CpuSet,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Service {
    /// Starves its process.
    pub fn starve(&self) -> Result<Starving> {
        let number = self.pid()?;
        let what = || format!("starve process {number}");
        let process = Pid::from_raw(number).ok_or(Error::NoProcess(number))?;
        let handle = pidfd_open(process, PidfdFlags::empty()).context(what)?;
        let before = sched_getaffinity(Some(process)).context(what)?;
        let mut starving = Starving {
            process,
            before,
            stop: Arc::default(),
            threads: Vec::new(),
        };
        let mut only = CpuSet::new();
        only.set(CPU);
        pin(process, &only).context(what)?;
        starving.spawn(move |stop| {
            while !stop.load(Ordering::Relaxed) {
                // Fails when the process has ended, which is not for us to tell.
                let _ = pidfd_send_signal(&handle, Signal::STOP);
                thread::sleep(RHYTHM);
                let _ = pidfd_send_signal(&handle, Signal::CONT);
                thread::sleep(RHYTHM);
            }
        });
        starving.spawn(move |stop| {
            let me = gettid();
            let placed = sched_setaffinity(Some(me), &only)
                .and_then(|()| setpriority_process(Some(me), NICENESS));
            // Anywhere else it would starve somebody else.
            while placed.is_ok() && !stop.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        Ok(starving)
    }
}

impl Starving {
    fn spawn(&mut self, work: impl FnOnce(&AtomicBool) + Send + 'static) {
        let stop = Arc::clone(&self.stop);
        self.threads.push(thread::spawn(move || work(&stop)));
    }
}

impl Drop for Starving {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        if let Err(e) = pin(self.process, &self.before) {
            eprintln!("it stays on one CPU: {e}");
        }
    }
}

/// Keeps all threads of a process to some CPUs; those that it starts later
/// inherit that.
fn pin(process: Pid, to: &CpuSet) -> std::io::Result<()> {
    for thread in fs::read_dir(format!("/proc/{}/task", process.as_raw_nonzero()))?.flatten() {
        let number = thread
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        if let Some(thread) = number.and_then(Pid::from_raw) {
            match sched_setaffinity(Some(thread), to) {
                Err(rustix::io::Errno::SRCH) => {}
                done => done?,
            }
        }
    }
    Ok(())
}
