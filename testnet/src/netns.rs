//! Networks to work in from outside: a host's, or a container's.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace, for as long as the process lives that it is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Netns(PathBuf);

impl Netns {
    /// The one that the machine's process `pid` is in.
    pub(crate) fn of_process(pid: i32) -> Self {
        Self(format!("/proc/{pid}/ns/net").into())
    }

    pub(crate) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Does `work` there: sockets that it opens stay there.
    pub fn enter<T: Send>(
        &self,
        work: impl FnOnce() -> std::io::Result<T> + Send,
    ) -> std::io::Result<T> {
        let netns = std::fs::File::open(&self.0)?;
        // A namespace is a property of the thread: this one is thrown away after.
        let done = thread::scope(|scope| {
            let there = scope.spawn(|| {
                move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?;
                work()
            });
            there.join()
        });
        done.unwrap_or_else(|_| Err(std::io::Error::other("the thread died")))
    }

    /// A program of this machine that has this network, and nothing else of
    /// the place.
    pub fn command(&self, argv: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        // Not `ip netns exec`: that one remounts /sys.
        command
            .arg(format!("--net={}", self.0.display()))
            .arg("--")
            .args(argv);
        command
    }
}
