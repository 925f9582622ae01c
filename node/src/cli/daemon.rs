//! Starts a daemon where `init`, `join` and `up` find none.
//!
//! Where systemd runs and has a unit for swarmlet, it is asked. Elsewhere this
//! program starts itself as a daemon in a process group of its own, so that
//! neither Ctrl-C nor the end of the shell reaches it, with its log in the data
//! directory.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hyper::Method;

use super::args::StartFlags;
use super::client::{Client, Target};
use super::commands::Session;
use super::error::CliError;

const SOCKET_NAME: &str = "swarmlet.sock";
const DEFAULT_RUN_DIR: &str = "/run/swarmlet";
const DEFAULT_DATA_DIR: &str = "/var/lib/swarmlet";
const UNIT: &str = "swarmlet.service";
/// How long a daemon may take until it answers: recovering a large log.
const START_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
const MAX_SHOWN_LOG: u64 = 2048;

/// Sees to it that a daemon answers at the session's socket; whether it had to
/// be started.
pub async fn ensure(
    session: &mut Session<'_>,
    flags: &StartFlags,
    listen_addr: SocketAddr,
) -> Result<bool, CliError> {
    match session.client.text(Method::GET, &ping()).await {
        Ok(_) | Err(CliError::Daemon { .. }) => return Ok(false),
        Err(CliError::NoDaemon { .. }) => {}
        Err(error) => return Err(error),
    }
    let run_dir = run_dir(session.client.socket().path())?;
    let said = if under_systemd(flags, &run_dir) {
        start_unit(&session.client).await?;
        format!("Started the swarmlet daemon; log: journalctl -u {UNIT}")
    } else {
        start_self(&session.client, flags, &run_dir, listen_addr).await?
    };
    writeln!(session.err, "{said}")?;
    Ok(true)
}

fn ping() -> Target {
    Target::new(&["_ping"])
}

/// The run directory of the daemon whose socket is `socket`.
fn run_dir(socket: &Path) -> Result<PathBuf, CliError> {
    match (socket.parent(), socket.file_name()) {
        (Some(dir), Some(name)) if name == SOCKET_NAME => Ok(dir.to_owned()),
        _ => Err(CliError::Start(format!(
            "a daemon's socket is called {SOCKET_NAME}, not {}",
            socket.display()
        ))),
    }
}

/// The unit runs the daemon with its default directories.
fn under_systemd(flags: &StartFlags, run_dir: &Path) -> bool {
    let unit_exists = [
        "/etc/systemd/system",
        "/run/systemd/system",
        "/lib/systemd/system",
    ]
    .iter()
    .any(|dir| Path::new(dir).join(UNIT).exists());
    unit_exists
        && Path::new("/run/systemd/system").is_dir()
        && run_dir == Path::new(DEFAULT_RUN_DIR)
        && flags.data_dir == Path::new(DEFAULT_DATA_DIR)
}

async fn start_unit(client: &Client) -> Result<(), CliError> {
    let status = Command::new("systemctl")
        .args(["start", UNIT])
        .status()
        .map_err(|error| CliError::Start(format!("systemctl: {error}")))?;
    if !status.success() {
        return Err(CliError::Start(format!(
            "systemctl start {UNIT} failed; see journalctl -u {UNIT}"
        )));
    }
    answers(client, None)
        .await
        .map_err(|why| CliError::Start(format!("{why}; see journalctl -u {UNIT}")))
}

async fn start_self(
    client: &Client,
    flags: &StartFlags,
    run_dir: &Path,
    listen_addr: SocketAddr,
) -> Result<String, CliError> {
    let path = flags.data_dir.join("daemon.log");
    let failed =
        |what: &Path, error: io::Error| CliError::Start(format!("{}: {error}", what.display()));
    let mut log = open_log(&path).map_err(|error| failed(&path, error))?;
    let begin = log
        .seek(SeekFrom::End(0))
        .map_err(|error| failed(&path, error))?;
    let program = std::env::current_exe().map_err(|error| CliError::Start(error.to_string()))?;
    let streams = log.try_clone().and_then(|out| Ok((out, log.try_clone()?)));
    let (out, err) = streams.map_err(|error| failed(&path, error))?;
    let mut child = Command::new(&program)
        .args(arguments(flags, run_dir, listen_addr))
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .process_group(0)
        .spawn()
        .map_err(|error| failed(&program, error))?;
    let pid = child.id();
    match answers(client, Some(&mut child)).await {
        Ok(()) => Ok(format!(
            "Started the swarmlet daemon (pid {pid}); log: {}",
            path.display()
        )),
        Err(why) => {
            let said = log_since(&mut log, begin).unwrap_or_default();
            Err(CliError::Start(format!(
                "{why}; its log is {}\n{}",
                path.display(),
                said.trim_end()
            )))
        }
    }
}

fn open_log(path: &Path) -> io::Result<File> {
    if let Some(dir) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .open(path)
}

/// The last of what was logged since `begin`.
fn log_since(log: &mut File, begin: u64) -> io::Result<String> {
    let end = log.seek(SeekFrom::End(0))?;
    log.seek(SeekFrom::Start(
        begin.max(end.saturating_sub(MAX_SHOWN_LOG)),
    ))?;
    let mut bytes = Vec::new();
    log.take(MAX_SHOWN_LOG).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The command line of a daemon whose socket is in `run_dir`.
fn arguments(flags: &StartFlags, run_dir: &Path, listen_addr: SocketAddr) -> Vec<OsString> {
    let mut line: Vec<OsString> = vec![
        "daemon".into(),
        "--data-dir".into(),
        flags.data_dir.clone().into(),
        "--run-dir".into(),
        run_dir.into(),
        "--listen-addr".into(),
        listen_addr.to_string().into(),
        "--docker-host".into(),
        flags.docker_host.clone().into(),
        "--mtu".into(),
        flags.mtu.to_string().into(),
        "--site-file".into(),
        flags.site_file.clone().into(),
        "--log-level".into(),
        flags.log_level.clone().into(),
    ];
    line.extend(flags.no_overlay.then(|| "--no-overlay".into()));
    line
}

/// Waits until the daemon answers; why it does not.
async fn answers(client: &Client, mut child: Option<&mut Child>) -> Result<(), String> {
    let begin = Instant::now();
    while begin.elapsed() < START_LIMIT {
        let left = START_LIMIT.saturating_sub(begin.elapsed());
        let ping = ping();
        let answer = client.text(Method::GET, &ping);
        let answer = tokio::time::timeout(left, answer).await;
        if matches!(answer, Ok(Ok(_) | Err(CliError::Daemon { .. }))) {
            return Ok(());
        }
        if let Some(status) = child
            .as_mut()
            .and_then(|child| child.try_wait().ok().flatten())
        {
            return Err(format!("it ended at once ({status})"));
        }
        tokio::time::sleep(POLL).await;
    }
    Err(format!(
        "it did not answer within {} s",
        START_LIMIT.as_secs()
    ))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::{Cli, Command as Parsed};

    #[test]
    fn a_started_daemon_is_told_what_the_command_was_told() {
        let flags = StartFlags {
            data_dir: "/d".into(),
            docker_host: "unix:///e.sock".into(),
            mtu: 8_900,
            no_overlay: true,
            site_file: "/s.toml".into(),
            log_level: "debug".into(),
        };
        let addr: SocketAddr = "10.0.0.1:99".parse().unwrap();
        let arguments = arguments(&flags, Path::new("/r"), addr);
        let line = std::iter::once(OsString::from("swarmlet")).chain(arguments);
        let Parsed::Daemon(parsed) = Cli::try_parse_from(line).unwrap().command else {
            panic!("not the daemon");
        };
        assert_eq!(parsed.run_dir, Path::new("/r"));
        assert_eq!(parsed.listen_addr, addr);
        assert_eq!(parsed.start.data_dir, flags.data_dir);
        assert_eq!(parsed.start.docker_host, flags.docker_host);
        assert_eq!(parsed.start.mtu, flags.mtu);
        assert!(parsed.start.no_overlay);
        assert_eq!(parsed.start.site_file, flags.site_file);
        assert_eq!(parsed.start.log_level, flags.log_level);
    }

    #[test]
    fn the_run_directory_is_where_the_socket_is() {
        assert_eq!(
            run_dir(Path::new("/r/swarmlet.sock")).unwrap(),
            Path::new("/r")
        );
        assert!(run_dir(Path::new("/var/run/docker.sock")).is_err());
    }

    #[test]
    fn only_what_was_logged_since_the_start_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/daemon.log");
        let mut log = open_log(&path).unwrap();
        io::Write::write_all(&mut log, b"old\n").unwrap();
        let begin = log.seek(SeekFrom::End(0)).unwrap();
        io::Write::write_all(&mut log, b"new\n").unwrap();
        assert_eq!(log_since(&mut log, begin).unwrap(), "new\n");
    }
}
