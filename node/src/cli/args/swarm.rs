//! The daemon, and the swarm as a whole.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use ipnet::IpNet;
use services::spec::{Availability, Role};

use super::{Format, word};
use crate::cli::values::{Invalid, Nanos, duration, subnet};
use crate::control::CONTROL_PORT;
use crate::network;

/// `swarmlet daemon`.
#[derive(Debug, Clone, Args)]
pub struct DaemonArgs {
    #[command(flatten)]
    pub start: StartFlags,
    /// Where the sockets are
    #[arg(long, value_name = "DIR", default_value = "/run/swarmlet")]
    pub run_dir: PathBuf,
    /// The address and UDP port that other nodes reach this one on
    #[arg(long, value_name = "IP:PORT", default_value = "0.0.0.0:2377", value_parser = control_addr)]
    pub listen_addr: SocketAddr,
}

/// What a daemon must be told that its socket's path does not tell.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of the daemon")]
pub struct StartFlags {
    /// Where the node keeps its identity, the log and its assignments
    #[arg(long, value_name = "DIR", default_value = "/var/lib/swarmlet")]
    pub data_dir: PathBuf,
    /// The socket of the local Docker Engine
    #[arg(
        long,
        value_name = "unix://PATH",
        default_value = "unix:///var/run/docker.sock"
    )]
    pub docker_host: String,
    /// The longest packet of containers on the swarm's networks: at most 100
    /// less than the links to the other nodes take
    #[arg(long, value_name = "BYTES", default_value_t = network::MTU,
          value_parser = clap::value_parser!(u16).range(1280..=9100))]
    pub mtu: u16,
    /// Leave the host's network alone: no task of this node is on a network of
    /// the swarm, and no published port answers here but those of mode host
    #[arg(long)]
    pub no_overlay: bool,
    /// What a device that is in no swarm finds its site's key in
    #[arg(long, value_name = "FILE", default_value = "/etc/swarmlet/site.toml")]
    pub site_file: PathBuf,
    /// What is logged: error, warn, info, debug, trace, or a filter such as
    /// info,openraft=debug
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: String,
}

/// Where this node listens and what it tells the others.
#[derive(Debug, Clone, Args)]
pub struct NodeAddresses {
    /// The address that other nodes reach this one at: <ip|interface>[:port]
    #[arg(long, value_name = "ADDR")]
    pub advertise_addr: Option<String>,
    /// The address and UDP port to listen on
    #[arg(long, value_name = "IP[:PORT]", default_value = "0.0.0.0:2377", value_parser = control_addr)]
    pub listen_addr: SocketAddr,
    /// Whether this node takes tasks
    #[arg(long, default_value = "active", value_parser = word::<Availability>(Availability::WORDS))]
    pub availability: Availability,
}

#[derive(Debug, Clone, Args)]
pub struct DataPath {
    /// The address that containers' traffic is sent to and from, where this
    /// device has a network for that alone: <ip|interface>
    #[arg(long, value_name = "ADDR")]
    pub data_path_addr: Option<String>,
}

#[derive(Debug, Args)]
pub struct InitArgs {
    #[command(flatten)]
    pub addresses: NodeAddresses,
    #[command(flatten)]
    pub data_path: DataPath,
    /// How long a node's certificate is valid (ns|us|ms|s|m|h), at least 1h
    #[arg(long, value_name = "DURATION", default_value = "2160h0m0s", value_parser = duration)]
    pub cert_expiry: Nanos,
    /// How many dead tasks are kept for each slot
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(i64).range(0..))]
    pub task_history_limit: i64,
    /// How many managers the swarm should have, 1, 3, 5 or 7, where there are
    /// candidates enough
    #[arg(long, value_name = "N", value_parser = super::watch::managers)]
    pub managers: Option<u8>,
    /// A range that networks without a subnet get theirs from (default
    /// 10.0.0.0/8)
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = subnet)]
    pub default_addr_pool: Vec<IpNet>,
    /// The prefix length of these subnets
    #[arg(long, value_name = "LENGTH", default_value_t = 24)]
    pub default_addr_pool_mask_length: u8,
    /// The UDP port of every node for the traffic between containers, 1024 to
    /// 49151 (0: 4789)
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub data_path_port: u16,
    /// Have managers wait for an unlock key whenever they start
    #[arg(long)]
    pub autolock: bool,
    /// On a manager of a swarm that has lost most of its managers for good: go
    /// on with this one alone
    #[arg(long)]
    pub force_new_cluster: bool,
    #[command(flatten)]
    pub start: StartFlags,
}

#[derive(Debug, Args)]
pub struct JoinArgs {
    /// The token that `swarmlet join-token` shows on a manager
    #[arg(long, value_name = "TOKEN")]
    pub token: String,
    /// Managers of the swarm; the port is 2377 where it is not said. Without
    /// one, the swarm is looked for on this LAN
    #[arg(value_name = "HOST:PORT", value_parser = remote_addr)]
    pub managers: Vec<String>,
    #[command(flatten)]
    pub addresses: NodeAddresses,
    #[command(flatten)]
    pub data_path: DataPath,
    #[command(flatten)]
    pub start: StartFlags,
}

#[derive(Debug, Args)]
pub struct LeaveArgs {
    /// Leave even where it costs the swarm a manager or its state
    #[arg(short, long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct UnlockKeyArgs {
    /// Replace the key; a manager that is off now still starts with the one before
    #[arg(long)]
    pub rotate: bool,
    /// Only print the key
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub struct JoinTokenArgs {
    /// Replace the token; the one before is refused from then on
    #[arg(long)]
    pub rotate: bool,
    /// Only print the token
    #[arg(short, long)]
    pub quiet: bool,
    #[arg(value_parser = word::<Role>(Role::WORDS))]
    pub role: Role,
}

#[derive(Debug, Args)]
pub struct CaArgs {
    /// Replace the certificate authority. Every node gets a certificate of the
    /// new one, then the old one and the join tokens end
    #[arg(long)]
    pub rotate: bool,
    /// A certificate authority of your own: the file (PEM) of its certificate
    #[arg(long, value_name = "FILE", requires = "rotate", requires = "ca_key")]
    pub ca_cert: Option<PathBuf>,
    /// The file (PEM) of its private key, ECDSA P-256
    #[arg(long, value_name = "FILE", requires = "rotate", requires = "ca_cert")]
    pub ca_key: Option<PathBuf>,
    /// How long a node's certificate is valid (ns|us|ms|s|m|h), at least 1h
    #[arg(long, value_name = "DURATION", requires = "rotate", value_parser = duration)]
    pub cert_expiry: Option<Nanos>,
    /// Return at once instead of waiting for all nodes
    #[arg(short, long, requires = "rotate")]
    pub detach: bool,
    /// Show neither progress nor the new certificate
    #[arg(short, long, requires = "rotate")]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub struct InfoArgs {
    /// "json" prints one JSON object
    #[arg(short, long, value_name = "FORMAT", value_parser = super::format)]
    pub format: Option<Format>,
}

/// `IP`, `IP:PORT` or `:PORT`.
fn control_addr(text: &str) -> Result<SocketAddr, Invalid> {
    if let Ok(addr) = text.parse() {
        return Ok(addr);
    }
    if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, CONTROL_PORT));
    }
    text.strip_prefix(':')
        .and_then(|port| port.parse().ok())
        .map(|port| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))
        .ok_or_else(|| Invalid::new("must be an IP address, with a port if it is not 2377"))
}

/// A manager's address with its port.
fn remote_addr(text: &str) -> Result<String, Invalid> {
    if text.is_empty() || text.contains("://") || text.contains('/') {
        return Err(Invalid::new("must be HOST:PORT"));
    }
    if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, CONTROL_PORT).to_string());
    }
    match text.rsplit_once(':') {
        None => Ok(format!("{text}:{CONTROL_PORT}")),
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
            Ok(text.to_owned())
        }
        Some(_) => Err(Invalid::new("must be HOST:PORT")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_port_is_2377_where_it_is_not_said() {
        for (text, wanted) in [
            ("10.0.0.1", "10.0.0.1:2377"),
            ("10.0.0.1:99", "10.0.0.1:99"),
            (":99", "0.0.0.0:99"),
            ("::1", "[::1]:2377"),
            ("[::1]:99", "[::1]:99"),
        ] {
            assert_eq!(control_addr(text).unwrap().to_string(), wanted);
        }
        assert!(control_addr("eth0").is_err());
    }

    #[test]
    fn a_manager_is_named_by_host_and_port() {
        for (text, wanted) in [
            ("h1", "h1:2377"),
            ("h1:99", "h1:99"),
            ("10.0.0.1", "10.0.0.1:2377"),
            ("fe80::1", "[fe80::1]:2377"),
            ("[fe80::1]:99", "[fe80::1]:99"),
        ] {
            assert_eq!(remote_addr(text).unwrap(), wanted);
        }
        for bad in ["", "h1:port", ":99", "tcp://h1:99"] {
            assert!(remote_addr(bad).is_err(), "{bad}");
        }
    }
}
