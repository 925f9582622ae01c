//! Published ports: `8080:80/tcp`, `127.0.0.1:8080:80`, ranges of them, and
//! the long form `published=8080,target=80,protocol=tcp,mode=host`.

use services::spec::{Protocol, PublishMode};
use services::text;

use super::{Invalid, comma_fields};
use crate::api::convert::show_port;
use crate::api::dto::PortConfig;

/// The ports that one `--publish` names: several where it names a range.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PublishedPorts(pub Vec<PortConfig>);

/// Which published ports a `--publish-rm` takes away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRemoval {
    pub target: u32,
    pub protocol: String,
    /// `None` is both.
    pub mode: Option<String>,
}

impl PortRemoval {
    pub fn matches(&self, port: &PortConfig) -> bool {
        let or = |text: &str, default: &str| match text {
            "" => default.to_owned(),
            text => text.to_owned(),
        };
        self.target == port.target_port
            && self.protocol == or(&port.protocol, "tcp")
            && self
                .mode
                .as_ref()
                .is_none_or(|mode| *mode == or(&port.publish_mode, "ingress"))
    }
}

pub fn publish(text: &str) -> Result<PublishedPorts, Invalid> {
    if is_long(text) {
        return Ok(PublishedPorts(vec![long(text)?.0]));
    }
    short(text).map(PublishedPorts)
}

/// `80`, `80/udp`, or any form that `--publish` takes.
pub fn publish_removal(text: &str) -> Result<Vec<PortRemoval>, Invalid> {
    let (ports, mode) = if is_long(text) {
        let (port, mode_given) = long(text)?;
        let mode = mode_given.then(|| port.publish_mode.clone());
        (vec![port], mode)
    } else {
        (short(text)?, None)
    };
    Ok(ports
        .into_iter()
        .map(|port| PortRemoval {
            target: port.target_port,
            protocol: port.protocol,
            mode: mode.clone(),
        })
        .collect())
}

fn is_long(text: &str) -> bool {
    text.contains('=')
}

/// The port, and whether its mode was said.
fn long(text: &str) -> Result<(PortConfig, bool), Invalid> {
    let mut port = PortConfig {
        protocol: "tcp".into(),
        publish_mode: "ingress".into(),
        ..PortConfig::default()
    };
    let mut mode_given = false;
    for field in comma_fields(text)? {
        let Some((key, value)) = field.split_once('=') else {
            return Err(Invalid::new(format!("invalid field: {field}")));
        };
        match key.to_ascii_lowercase().as_str() {
            "protocol" => port.protocol = one_of("protocol", Protocol::WORDS, value)?,
            "mode" => {
                port.publish_mode = one_of("publish mode", PublishMode::WORDS, value)?;
                mode_given = true;
            }
            "target" => port.target_port = number("target", value)?,
            "published" => port.published_port = number("published", value)?,
            "host_ip" => port.host_ip = host_ip(value)?,
            _ => return Err(Invalid::new(format!("invalid field key: {key}"))),
        }
    }
    if port.target_port == 0 {
        return Err(Invalid::new("missing mandatory field \"target\""));
    }
    check_host_ip(&port)?;
    Ok((port, mode_given))
}

/// Empty for "all of them", which is what is meant without an address, too.
fn host_ip(text: &str) -> Result<String, Invalid> {
    let ip = text::host_ip(text)?;
    Ok(ip.map(|ip| ip.to_string()).unwrap_or_default())
}

fn check_host_ip(port: &PortConfig) -> Result<(), Invalid> {
    if port.host_ip.is_empty() || port.published_port != 0 {
        return Ok(());
    }
    Err(Invalid::new(format!(
        "target port {} is published on {}: say on which port, too",
        port.target_port, port.host_ip
    )))
}

fn one_of(what: &str, known: &[&str], value: &str) -> Result<String, Invalid> {
    let lower = value.to_ascii_lowercase();
    if known.contains(&lower.as_str()) {
        return Ok(lower);
    }
    Err(Invalid::new(format!(
        "invalid {what} value '{value}': must be one of {}",
        known.join(", ")
    )))
}

fn number(which: &str, value: &str) -> Result<u32, Invalid> {
    value.parse::<u16>().map(u32::from).map_err(|_| {
        Invalid::new(format!(
            "invalid {which} port ({value}): must be 0 to 65535"
        ))
    })
}

fn short(text: &str) -> Result<Vec<PortConfig>, Invalid> {
    let ports = text::ports(text)?.into_iter();
    Ok(ports.map(|port| show_port(&port)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let ports = publish(text).unwrap().0.into_iter();
        ports
            .map(|p| {
                let ip = match p.host_ip.as_str() {
                    "" => String::new(),
                    ip => format!("{ip} "),
                };
                format!(
                    "{ip}{}:{}/{} {}",
                    p.published_port, p.target_port, p.protocol, p.publish_mode
                )
            })
            .collect()
    }

    #[test]
    fn ports_are_published_in_both_syntaxes() {
        for (text, wanted) in [
            ("80", &["0:80/tcp ingress"][..]),
            ("8080:80", &["8080:80/tcp ingress"]),
            (":80", &["0:80/tcp ingress"]),
            ("53:53/udp", &["53:53/udp ingress"]),
            ("80-81", &["0:80/tcp ingress", "0:81/tcp ingress"]),
            (
                "8000-8001:80-81",
                &["8000:80/tcp ingress", "8001:81/tcp ingress"],
            ),
            (
                "8000-8001:80",
                &["8000:80/tcp ingress", "8001:80/tcp ingress"],
            ),
            ("target=80", &["0:80/tcp ingress"]),
            ("published=8080,target=80,mode=host", &["8080:80/tcp host"]),
            ("Target=53,PROTOCOL=UDP,mode=Ingress", &["0:53/udp ingress"]),
            ("127.0.0.1:8080:80", &["127.0.0.1 8080:80/tcp ingress"]),
            ("0.0.0.0:8080:80", &["8080:80/tcp ingress"]),
            (
                "[fd00::1]:8000-8001:80-81",
                &["fd00::1 8000:80/tcp ingress", "fd00::1 8001:81/tcp ingress"],
            ),
            (
                "published=53,target=53,protocol=udp,host_ip=10.0.0.1",
                &["10.0.0.1 53:53/udp ingress"],
            ),
        ] {
            assert_eq!(shown(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_no_port_is_refused_with_its_reason() {
        for (text, why) in [
            ("", "invalid port: \"\""),
            ("x", "invalid port: \"x\""),
            ("65536", "invalid port: \"65536\""),
            ("0", "invalid containerPort: 0"),
            ("81-80", "invalid range specified for port: 81-80"),
            (
                "1-3:1-2",
                "invalid ranges specified for container and host ports: 1-3:1-2",
            ),
            ("localhost:80:80", "invalid host IP: \"localhost\""),
            (
                "127.0.0.1::80",
                "target port 80 is published on 127.0.0.1: say on which port, too",
            ),
            (
                "80/quic",
                "invalid protocol value 'quic': must be one of tcp, udp, sctp",
            ),
            ("published=80", "missing mandatory field \"target\""),
            ("target=80,host", "invalid field: host"),
            ("target=80,ip=::1", "invalid field key: ip"),
            (
                "target=99999",
                "invalid target port (99999): must be 0 to 65535",
            ),
            (
                "target=80,mode=global",
                "invalid publish mode value 'global': must be one of ingress, host",
            ),
        ] {
            assert_eq!(publish(text).unwrap_err().to_string(), why, "{text}");
        }
    }

    #[test]
    fn a_removal_is_by_target_and_by_mode_only_where_it_says_one() {
        let host = publish("published=8080,target=80,mode=host").unwrap().0;
        let removes = |text| {
            publish_removal(text)
                .unwrap()
                .iter()
                .any(|removal| removal.matches(&host[0]))
        };
        assert!(removes("80"));
        assert!(removes("8080:80/tcp"));
        assert!(removes("target=80,mode=host"));
        assert!(!removes("80/udp"));
        assert!(!removes("target=80,mode=ingress"));
        assert!(!removes("8080"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-z0-9=,:./\\[\\]\\-]{0,40}") {
            let _ = (publish(&text), publish_removal(&text));
        }
    }
}
