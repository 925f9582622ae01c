//! The daemon: all the wiring, in the order in which it happens.
//!
//! It owns the data directory (nobody else may), listens on the API socket
//! from the first moment, takes up its place in the swarm if the disk says
//! that it has one, and on SIGTERM or SIGINT steps aside and leaves the
//! containers running for the next daemon.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use gossip::Discovery;
use overlay::names::Names;
use overlay::plugin::PLUGIN_DIR;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};

use crate::api;
use crate::cli::args::DaemonArgs;
use crate::disk::DataDir;
use crate::network;
use crate::runtime::{DockerConfig, DockerRuntime, Runtime};
use crate::site::lan::{Deaf, Lan};
use crate::swarm::Swarm;
use crate::worker::TaskFiles;

const SOCKET: &str = "swarmlet.sock";
/// Whose members may use the engine. As with Docker, those on a manager thereby
/// rule the swarm.
const GROUP: &str = "docker";
const GROUPS: &str = "/etc/group";

pub async fn run(args: DaemonArgs) -> anyhow::Result<()> {
    allow_open_files();
    let engine_socket = engine_socket(&args.start.docker_host)?;
    let data = DataDir::open(&args.start.data_dir)?;
    let listener = listen(&args.run_dir).await?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        data = %args.start.data_dir.display(),
        engine = %engine_socket.display(),
        "swarmlet daemon"
    );

    let for_swarm = engine_socket.clone();
    let names = Names::of(&args.run_dir);
    let for_engine = names.clone();
    let engine = Box::new(move |node| {
        let config = DockerConfig::new(&for_swarm, node, for_engine.clone());
        Arc::new(DockerRuntime::new(config)) as Arc<dyn Runtime>
    });
    let network = (!args.start.no_overlay).then(|| network::Config {
        names,
        plugin_dir: PLUGIN_DIR.into(),
        state_dir: data.network(),
        mtu: args.start.mtu,
    });
    let files = TaskFiles::of(&args.run_dir);
    let swarm = Swarm::new(data, engine, files, lan(), network, args.listen_addr);
    let mut api = tokio::spawn(api::serve(listener, Arc::new(swarm.clone()), engine_socket));

    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    swarm.resume().await;
    swarm.up_by_file(&args.start.site_file).await;
    let ended = tokio::select! {
        _ = term.recv() => Ok(()),
        _ = int.recv() => Ok(()),
        ended = &mut api => ended.context("the API failed").and_then(|ended| ended),
    };
    tracing::info!("stopping; containers keep running");
    api.abort();
    swarm.stop().await;
    let _ = fs::remove_file(args.run_dir.join(SOCKET));
    ended
}

/// As many as the administrator allows: each published port is held by sockets. The
/// usual limit of 1,024 is for programs that use `select`.
fn allow_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let allowed = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, allowed) {
        tracing::warn!(%error, limit = limit.current, "cannot open more files");
    }
}

/// Without multicast a device can still be told addresses.
fn lan() -> Arc<dyn Lan> {
    match Discovery::start() {
        Ok(discovery) => Arc::new(discovery),
        Err(error) => {
            tracing::warn!(%error, "no mDNS: other devices are not found by themselves");
            Arc::new(Deaf::default())
        }
    }
}

fn engine_socket(host: &str) -> anyhow::Result<PathBuf> {
    match host.strip_prefix("unix://") {
        Some(path) if path.starts_with('/') => Ok(PathBuf::from(path)),
        _ => bail!("--docker-host {host:?} is not of the form unix:///path/to/docker.sock"),
    }
}

/// The API socket: for root, and for the group that may use the engine.
async fn listen(run_dir: &Path) -> anyhow::Result<UnixListener> {
    fs::create_dir_all(run_dir)
        .with_context(|| format!("cannot create the run directory {}", run_dir.display()))?;
    let path = run_dir.join(SOCKET);
    if UnixStream::connect(&path).await.is_ok() {
        bail!("a daemon answers on {} already", path.display());
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot replace {}", path.display()));
        }
        _ => {}
    }
    let listener = UnixListener::bind(&path)
        .with_context(|| format!("cannot listen on {}", path.display()))?;
    let groups = fs::read_to_string(GROUPS).unwrap_or_default();
    if let Some(group) = group_id(&groups, GROUP) {
        chown(&path, None, Some(group))
            .with_context(|| format!("cannot give {} to the group {GROUP}", path.display()))?;
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Of a group in the text of group(5).
fn group_id(groups: &str, name: &str) -> Option<u32> {
    let mut lines = groups.lines().map(|line| line.split(':'));
    let mut group = lines.find_map(|mut fields| (fields.next()? == name).then_some(fields))?;
    group.nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_its_whole_name() {
        let groups = "root:x:0:\ndocker-users:x:7:\n# docker:x:8:\ndocker:x:998:carol,dave\n";
        assert_eq!(group_id(groups, "docker"), Some(998));
        assert_eq!(group_id(groups, "carol"), None);
        assert_eq!(group_id("docker:x:many:", "docker"), None);
    }
}
