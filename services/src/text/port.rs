//! Published ports in short: `8080:80/tcp`, `127.0.0.1:8080:80`, ranges of
//! them.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::Invalid;
use crate::spec::{PortSpec, Protocol, PublishMode};

/// What a range may make of a few letters.
const MAX_RANGE: u16 = 10_000;

/// `[[host_ip:]published:]target[/protocol]`, the ports possibly ranges.
///
/// # Errors
/// Which part of it means nothing.
pub fn ports(text: &str) -> Result<Vec<PortSpec>, Invalid> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol_of(protocol)?;
    let (rest, target) = match ports.rsplit_once(':') {
        None => ("", ports),
        Some((rest, target)) => (rest, target),
    };
    let target = port_range(target)?;
    let (host_ip, published) = match rest.rsplit_once(':') {
        None => (None, rest),
        Some((ip, published)) => (host_ip(ip)?, published),
    };
    let published = match published {
        "" => None,
        published => Some(port_range(published)?),
    };
    if *target.start() == 0 {
        return Err(Invalid::new(format!("invalid containerPort: {ports}")));
    }
    let port = |published, target| PortSpec {
        name: None,
        protocol,
        target,
        published,
        mode: PublishMode::Ingress,
        host_ip,
    };
    let Some(published) = published else {
        if let Some(ip) = host_ip {
            return Err(unnumbered(*target.start(), ip));
        }
        return Ok(target.map(|target| port(0, target)).collect());
    };
    let count = |range: &RangeInclusive<u16>| range.end() - range.start();
    if count(&target) == 0 {
        let target = *target.start();
        return Ok(published.map(|published| port(published, target)).collect());
    }
    if count(&published) != count(&target) {
        return Err(Invalid::new(format!(
            "invalid ranges specified for container and host ports: {ports}"
        )));
    }
    Ok(published
        .zip(target)
        .map(|(published, target)| port(published, target))
        .collect())
}

/// A port that is picked has no label that could carry its address.
fn unnumbered(target: u16, ip: IpAddr) -> Invalid {
    Invalid::new(format!(
        "target port {target} is published on {ip}: say on which port, too"
    ))
}

/// `None` for "all of them", which is what is meant without an address, too,
/// and with a variable for it that is blank.
///
/// # Errors
/// That it is none.
pub fn host_ip(text: &str) -> Result<Option<IpAddr>, Invalid> {
    if text.is_empty() {
        return Ok(None);
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(ip) => Ok(Some(ip).filter(|ip| !ip.is_unspecified())),
        Err(_) => Err(Invalid::new(format!("invalid host IP: {bare:?}"))),
    }
}

fn protocol_of(text: &str) -> Result<Protocol, Invalid> {
    text.to_ascii_lowercase().parse().map_err(|_| {
        Invalid::new(format!(
            "invalid protocol value '{text}': must be one of {}",
            Protocol::WORDS.join(", ")
        ))
    })
}

/// `8000` or `8000-8010`.
///
/// # Errors
/// That it is none, or has too many.
pub fn port_range(text: &str) -> Result<RangeInclusive<u16>, Invalid> {
    let invalid = || Invalid::new(format!("invalid port: {text:?}"));
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| text.parse::<u16>().map_err(|_| invalid());
    let (from, to) = (port(from)?, port(to)?);
    if to.abs_diff(from) >= MAX_RANGE && to >= from {
        return Err(Invalid::new(format!(
            "a range has at most {MAX_RANGE} ports: {text}"
        )));
    }
    if to < from {
        return Err(Invalid::new(format!(
            "invalid range specified for port: {text}"
        )));
    }
    Ok(from..=to)
}
