//! `init` and `join`: addresses and tokens as users write them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use services::managing::DEFAULT_MANAGERS;
use services::spec::{Availability, ClusterSpec};

use super::cluster::cluster_spec;
use super::node;
use crate::address;
use crate::api::backend::{Advertise, AdvertiseHost, InitRequest, JoinRequest, UpRequest};
use crate::api::dto;
use crate::api::error::ApiError;
use crate::control::CONTROL_PORT;
use crate::site::file;

/// # Errors
/// 400 in Docker's words, 501 for what is not in this version.
pub fn init_request(dto: dto::InitRequest) -> Result<InitRequest, ApiError> {
    let listen = listen(&dto.listen_addr)?;
    let spec = cluster_spec(dto.spec, &ClusterSpec::default())?;
    if dto.auto_lock_managers {
        return Err(ApiError::unimplemented(
            "autolock is not in this version; protect the data directory with disk encryption",
        ));
    }
    refuse_data_path(&dto.data_path_addr)?;
    if dto.data_path_port != 0 || !dto.default_addr_pool.is_empty() {
        return Err(ApiError::unimplemented(
            "address pools and the data path port belong to overlay networks, which are not in \
             this version",
        ));
    }
    Ok(InitRequest {
        listen,
        advertise: advertise(&dto.advertise_addr)?,
        availability: availability(&dto.availability)?,
        force_new_cluster: dto.force_new_cluster,
        spec,
    })
}

/// # Errors
/// 400 in Docker's words.
pub fn join_request(dto: dto::JoinRequest) -> Result<JoinRequest, ApiError> {
    if dto.remote_addrs.is_empty() && dto.join_token.is_empty() {
        return Err(ApiError::bad_request(
            "at least 1 RemoteAddr is required to join",
        ));
    }
    refuse_data_path(&dto.data_path_addr)?;
    Ok(JoinRequest {
        listen: listen_or_default(&dto.listen_addr)?,
        advertise: advertise(&dto.advertise_addr)?,
        availability: availability(&dto.availability)?,
        remotes: dto
            .remote_addrs
            .iter()
            .map(|text| remote(text))
            .collect::<Result<_, _>>()?,
        token: dto.join_token,
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

fn refuse_data_path(addr: &str) -> Result<(), ApiError> {
    if addr.is_empty() {
        return Ok(());
    }
    Err(ApiError::unimplemented(
        "the data path address belongs to overlay networks, which are not in this version",
    ))
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
