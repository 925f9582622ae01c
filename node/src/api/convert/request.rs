//! `init` and `join`: addresses and tokens as users write them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;

use ipnet::IpNet;
use services::managing::DEFAULT_MANAGERS;
use services::spec::{Availability, ClusterSpec, defaults};

use super::cluster::{cluster_spec, new_root};
use super::node;
use crate::address;
use crate::api::backend::{Advertise, AdvertiseHost, InitRequest, JoinRequest, UpRequest};
use crate::api::dto;
use crate::api::error::ApiError;
use crate::control::CONTROL_PORT;
use crate::site::file;

/// A subnet of 8 addresses is Docker's smallest.
const MAX_SUBNET_SIZE: u8 = 29;
const DATA_PATH_PORTS: RangeInclusive<u16> = 1024..=49_151;

/// # Errors
/// 400 in Docker's words, 501 for what is not in this version.
pub fn init_request(dto: dto::InitRequest) -> Result<InitRequest, ApiError> {
    let listen = listen(&dto.listen_addr)?;
    // Docker's own client says it in both.
    let autolock = dto.auto_lock_managers || dto.spec.encryption_config.auto_lock_managers;
    if new_root(&dto.spec.ca_config, 0)?.is_some() {
        return Err(ApiError::unimplemented(
            "a new swarm has a certificate authority of its own; \
             `docker swarm ca --rotate` replaces it",
        ));
    }
    let spec = cluster_spec(dto.spec, &ClusterSpec::default())?;
    let spec = with_address_plan(spec, &dto.default_addr_pool, dto.subnet_size)?;
    let data_path_port = data_path_port(dto.data_path_port)?;
    Ok(InitRequest {
        listen,
        advertise: advertise(&dto.advertise_addr)?,
        data_path: data_path(dto.data_path_addr),
        availability: availability(&dto.availability)?,
        force_new_cluster: dto.force_new_cluster,
        autolock,
        spec: ClusterSpec {
            data_path_port,
            ..spec
        },
    })
}

/// What networks without a subnet of their own are cut from.
fn with_address_plan(
    spec: ClusterSpec,
    pools: &[String],
    subnet_size: u32,
) -> Result<ClusterSpec, ApiError> {
    let size = match subnet_size {
        0 => spec.subnet_size,
        size => u8::try_from(size)
            .ok()
            .filter(|size| *size <= MAX_SUBNET_SIZE)
            .ok_or_else(|| {
                ApiError::internal(format!("subnet size is out of range: {subnet_size}"))
            })?,
    };
    let mut nets: Vec<IpNet> = Vec::new();
    for text in pools {
        let net = text.parse::<IpNet>().map_err(|_| {
            ApiError::internal(format!(
                "invalid base pool {text}: invalid CIDR address: {text}"
            ))
        })?;
        let net = net.trunc();
        if net.prefix_len() > size {
            return Err(ApiError::internal(format!(
                "invalid CIDR: {text:?}. Subnet size is too small for pool: {size}"
            )));
        }
        if let Some(other) = nets
            .iter()
            .find(|it| it.contains(&net) || net.contains(*it))
        {
            return Err(ApiError::internal(format!(
                "base pools {other} and {net} overlap"
            )));
        }
        nets.push(net);
    }
    Ok(ClusterSpec {
        address_pools: match nets.is_empty() {
            true => spec.address_pools,
            false => nets,
        },
        subnet_size: size,
        ..spec
    })
}

fn data_path_port(port: u32) -> Result<u16, ApiError> {
    let in_range = |port: &u16| DATA_PATH_PORTS.contains(port);
    match port {
        0 => Ok(defaults::DATA_PATH_PORT),
        port => u16::try_from(port).ok().filter(in_range).ok_or_else(|| {
            ApiError::internal(format!(
                "Datapath port number is not in valid range (1024-49151) : {port}"
            ))
        }),
    }
}

/// # Errors
/// 400, and 500 for the token, in Docker's words.
pub fn join_request(dto: dto::JoinRequest) -> Result<JoinRequest, ApiError> {
    if dto.remote_addrs.is_empty() && dto.join_token.is_empty() {
        return Err(ApiError::bad_request(
            "at least 1 RemoteAddr is required to join",
        ));
    }
    Ok(JoinRequest {
        listen: listen_or_default(&dto.listen_addr)?,
        advertise: advertise(&dto.advertise_addr)?,
        data_path: data_path(dto.data_path_addr),
        availability: availability(&dto.availability)?,
        remotes: dto
            .remote_addrs
            .iter()
            .map(|text| remote(text))
            .collect::<Result<_, _>>()?,
        token: dto
            .join_token
            .parse()
            .map_err(|_| ApiError::internal("invalid join token"))?,
    })
}

/// # Errors
/// 400 with what is wrong.
pub fn up_request(dto: dto::UpRequest) -> Result<UpRequest, ApiError> {
    let managers = match dto.managers {
        0 => DEFAULT_MANAGERS,
        wanted => usize::try_from(wanted).unwrap_or(usize::MAX),
    };
    if !file::MANAGERS.contains(&managers) {
        return Err(ApiError::bad_request(format!(
            "there can be 1, 3, 5 or 7 managers, not {managers}: an even number bears no more \
             failures than one less"
        )));
    }
    address::check(&dto.advertise_addr).or_else(|why| match dto.advertise_addr.as_str() {
        "" => Ok(()),
        _ => Err(ApiError::bad_request(format!(
            "invalid AdvertiseAddr: {why}"
        ))),
    })?;
    Ok(UpRequest {
        key: dto.site_key,
        managers,
        labels: dto.labels,
        listen: listen_or_default(&dto.listen_addr)?,
        advertise: Some(dto.advertise_addr).filter(|text| !text.is_empty()),
        availability: availability(&dto.availability)?,
    })
}

fn listen_or_default(text: &str) -> Result<SocketAddr, ApiError> {
    match text {
        "" => Ok(SocketAddr::from((Ipv4Addr::UNSPECIFIED, CONTROL_PORT))),
        text => listen(text),
    }
}

fn data_path(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn availability(text: &str) -> Result<Availability, ApiError> {
    match text {
        "" => Ok(Availability::Active),
        text => node::availability(text),
    }
}

fn listen(text: &str) -> Result<SocketAddr, ApiError> {
    let refused =
        |reason: &str| ApiError::bad_request(format!("invalid ListenAddr {text:?}: {reason}"));
    if text.is_empty() {
        return Err(refused("invalid empty address"));
    }
    let (host, port) = split_port(text).ok_or_else(|| refused("invalid port"))?;
    let ip = host
        .parse()
        .map_err(|_| refused("must be an IP address with an optional port"))?;
    Ok(SocketAddr::new(ip, port.unwrap_or(CONTROL_PORT)))
}

fn advertise(text: &str) -> Result<Option<Advertise>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    let refused =
        |reason: &str| ApiError::bad_request(format!("invalid AdvertiseAddr {text:?}: {reason}"));
    let (host, port) = split_port(text).ok_or_else(|| refused("invalid port"))?;
    let host = match host.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() => {
            return Err(refused(
                "others cannot reach a node at an unspecified address",
            ));
        }
        Ok(ip) => AdvertiseHost::Ip(ip),
        // The longest name of a Linux interface has 15 bytes.
        Err(_) if (1..=15).contains(&host.len()) => AdvertiseHost::Interface(host.into()),
        Err(_) => return Err(refused("must be an IP address or a network interface")),
    };
    Ok(Some(Advertise { host, port }))
}

fn remote(text: &str) -> Result<String, ApiError> {
    match split_port(text) {
        Some((host, Some(_))) if !host.is_empty() => Ok(text.to_owned()),
        Some((host, None)) if host.contains(':') => Ok(format!("[{host}]:{CONTROL_PORT}")),
        Some((host, None)) if !host.is_empty() => Ok(format!("{host}:{CONTROL_PORT}")),
        _ => Err(ApiError::bad_request(format!(
            "invalid remote address {text:?}: must be HOST:PORT"
        ))),
    }
}

/// `HOST`, `HOST:PORT`, `[V6]`, `[V6]:PORT` or a bare IPv6 address. `None`
/// where the port is not one.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port.parse().ok()?))),
            None => rest.is_empty().then_some((host, None)),
        };
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => Some((host, Some(port.parse().ok()?))),
        _ => Some((text, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_advertised_address_is_an_ip_or_an_interface() {
        for (text, host, port) in [
            ("10.0.0.1", AdvertiseHost::Ip([10, 0, 0, 1].into()), None),
            (
                "10.0.0.1:2377",
                AdvertiseHost::Ip([10, 0, 0, 1].into()),
                Some(2377),
            ),
            ("eth0", AdvertiseHost::Interface("eth0".into()), None),
            ("eth0:7", AdvertiseHost::Interface("eth0".into()), Some(7)),
            (
                "::1",
                AdvertiseHost::Ip(std::net::Ipv6Addr::LOCALHOST.into()),
                None,
            ),
            (
                "[::1]:7",
                AdvertiseHost::Ip(std::net::Ipv6Addr::LOCALHOST.into()),
                Some(7),
            ),
        ] {
            assert_eq!(
                advertise(text),
                Ok(Some(Advertise { host, port })),
                "{text}"
            );
        }
        for text in [
            "0.0.0.0",
            "eth0:x",
            "eth0:70000",
            "not-an-interface-name",
            ":2377",
        ] {
            assert!(advertise(text).is_err(), "{text}");
        }
    }

    fn initialized(pools: &[&str], size: u32, port: u32) -> Result<ClusterSpec, String> {
        let request = dto::InitRequest {
            listen_addr: "0.0.0.0".into(),
            default_addr_pool: pools.iter().map(|&pool| pool.into()).collect(),
            subnet_size: size,
            data_path_port: port,
            ..dto::InitRequest::default()
        };
        let read = init_request(request).map(|request| request.spec);
        read.map_err(|error| error.message)
    }

    #[test]
    fn the_address_plan_is_said_when_the_swarm_is_made() {
        let spec = initialized(&[], 0, 0).unwrap();
        assert_eq!(spec, ClusterSpec::default());
        let spec = initialized(&["10.8.0.7/13", "172.30.0.0/16"], 26, 5_000).unwrap();
        let pools: Vec<_> = spec.address_pools.iter().map(IpNet::to_string).collect();
        assert_eq!(pools, ["10.8.0.0/13", "172.30.0.0/16"]);
        assert_eq!((spec.subnet_size, spec.data_path_port), (26, 5_000));
        for (pools, size, port, why) in [
            (
                &["10.0.0.0/33"][..],
                0,
                0,
                "invalid base pool 10.0.0.0/33: invalid CIDR address: 10.0.0.0/33",
            ),
            (&[], 30, 0, "subnet size is out of range: 30"),
            (
                &["10.0.0.0/25"],
                0,
                0,
                "invalid CIDR: \"10.0.0.0/25\". Subnet size is too small for pool: 24",
            ),
            (
                &["10.0.0.0/8", "10.1.0.0/16"],
                0,
                0,
                "base pools 10.0.0.0/8 and 10.1.0.0/16 overlap",
            ),
            (
                &[],
                0,
                80,
                "Datapath port number is not in valid range (1024-49151) : 80",
            ),
        ] {
            assert_eq!(initialized(pools, size, port).unwrap_err(), why);
        }
    }

    #[test]
    fn a_remote_without_a_port_gets_the_control_port() {
        assert_eq!(remote("h1"), Ok("h1:2377".into()));
        assert_eq!(remote("h1:99"), Ok("h1:99".into()));
        assert_eq!(remote("fd00::1"), Ok("[fd00::1]:2377".into()));
        assert!(remote("h1:http").is_err());
        assert!(remote("").is_err());
    }

    #[test]
    fn an_empty_listen_address_is_refused_as_docker_does() {
        assert_eq!(
            listen("").unwrap_err().message,
            "invalid ListenAddr \"\": invalid empty address"
        );
    }

    proptest! {
        #[test]
        fn any_address_is_read_or_refused(text: String) {
            let _ = (listen(&text), advertise(&text), remote(&text));
        }
    }
}
