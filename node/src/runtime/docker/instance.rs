//! Which process of the engine answers: the boot, the pid behind the socket and
//! that process's start.
//!
//! The engine's API does not tell since when it runs, yet an agent that was
//! itself away has to know whether its containers ended by themselves or with
//! the engine. The socket's peer credentials name the process that listens;
//! where systemd listens on the engine's behalf (pid 1), the engine's pid file
//! does.

use std::path::Path;

use tokio::net::UnixStream;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const PID_FILES: [&str; 2] = ["/run/docker.pid", "/var/run/docker.pid"];

pub(super) async fn of_engine(socket: &Path) -> Option<String> {
    let boot = tokio::fs::read_to_string(BOOT_ID).await.ok()?;
    let pid = match peer(socket).await? {
        1 => pid_file().await?,
        pid => pid,
    };
    let stat = tokio::fs::read_to_string(format!("/proc/{pid}/stat"))
        .await
        .ok()?;
    Some(format!("{}/{pid}/{}", boot.trim(), start_ticks(&stat)?))
}

async fn peer(socket: &Path) -> Option<i32> {
    UnixStream::connect(socket)
        .await
        .ok()?
        .peer_cred()
        .ok()?
        .pid()
}

async fn pid_file() -> Option<i32> {
    for path in PID_FILES {
        if let Ok(text) = tokio::fs::read_to_string(path).await {
            return text.trim().parse().ok();
        }
    }
    None
}

/// Field 22 of proc_pid_stat(5). Field 2, the command, may hold spaces and
/// parentheses of its own.
fn start_ticks(stat: &str) -> Option<&str> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_found_behind_a_command_with_spaces() {
        let fields = (3..=22)
            .map(|n| n.to_string())
            .collect::<Vec<_>>()
            .join(" ");
        assert_eq!(start_ticks(&format!("17 (a b) c) {fields} 23")), Some("22"));
        assert_eq!(start_ticks("17 (short) S 1"), None);
    }

    #[tokio::test]
    async fn the_listener_of_a_socket_is_named_the_same_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("sock");
        let _listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let first = of_engine(&socket).await.unwrap();
        assert!(first.contains(&format!("/{}/", std::process::id())));
        assert_eq!(of_engine(&socket).await, Some(first));
    }
}
