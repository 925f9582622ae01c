//! Published ports in a few characters: `*:8080->80/tcp`.

use std::fmt;

use crate::api::dto::PortConfig;

/// The host-mode ports of a task.
pub fn of_task(ports: &[PortConfig]) -> String {
    let shown: Vec<String> = ports
        .iter()
        .map(|port| {
            format!(
                "{}:{}->{}/{}",
                host(&port.host_ip),
                port.published_port,
                port.target_port,
                port.protocol
            )
        })
        .collect();
    shown.join(",")
}

/// `*` is every address.
fn host(ip: &str) -> String {
    match ip {
        "" => "*".to_owned(),
        ip if ip.contains(':') => format!("[{ip}]"),
        ip => ip.to_owned(),
    }
}

/// The ports that a service answers on everywhere, runs of them as ranges.
pub fn of_service(ports: &[PortConfig]) -> String {
    let mut ports: Vec<&PortConfig> = ports
        .iter()
        .filter(|port| port.publish_mode == "ingress" && port.published_port > 0)
        .collect();
    ports.sort_by(|a, b| {
        (&a.protocol, &a.host_ip, a.published_port, a.target_port).cmp(&(
            &b.protocol,
            &b.host_ip,
            b.published_port,
            b.target_port,
        ))
    });
    let mut runs: Vec<Run<'_>> = Vec::new();
    for port in ports {
        if !runs.last_mut().is_some_and(|run| run.take(port)) {
            runs.push(Run {
                published: (port.published_port, port.published_port),
                target: (port.target_port, port.target_port),
                protocol: &port.protocol,
                host_ip: &port.host_ip,
            });
        }
    }
    let shown: Vec<String> = runs.iter().map(ToString::to_string).collect();
    shown.join(", ")
}

/// Ports that follow each other on both sides.
struct Run<'a> {
    published: (u32, u32),
    target: (u32, u32),
    protocol: &'a str,
    host_ip: &'a str,
}

impl Run<'_> {
    /// Grows by `port`, if it is the next one.
    fn take(&mut self, port: &PortConfig) -> bool {
        let next = self.protocol == port.protocol
            && self.host_ip == port.host_ip
            && self.published.1 + 1 == port.published_port
            && self.target.1 + 1 == port.target_port;
        if next {
            self.published.1 = port.published_port;
            self.target.1 = port.target_port;
        }
        next
    }
}

impl fmt::Display for Run<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |(from, to): (u32, u32)| match from == to {
            true => from.to_string(),
            false => format!("{from}-{to}"),
        };
        let (published, target) = (side(self.published), side(self.target));
        let host = host(self.host_ip);
        write!(f, "{host}:{published}->{target}/{}", self.protocol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(published: u32, target: u32, protocol: &str, mode: &str) -> PortConfig {
        PortConfig {
            name: String::new(),
            protocol: protocol.into(),
            target_port: target,
            published_port: published,
            publish_mode: mode.into(),
            host_ip: String::new(),
        }
    }

    #[test]
    fn runs_of_ports_are_shown_as_ranges() {
        let ports = [
            port(8002, 82, "tcp", "ingress"),
            port(8001, 81, "tcp", "ingress"),
            port(53, 53, "udp", "ingress"),
            port(9000, 9000, "tcp", "host"),
            port(8003, 90, "tcp", "ingress"),
        ];
        assert_eq!(
            of_service(&ports),
            "*:8001-8002->81-82/tcp, *:8003->90/tcp, *:53->53/udp"
        );
        assert_eq!(of_service(&[]), "");
    }

    #[test]
    fn a_port_of_one_address_names_it() {
        let at = |ip: &str, published, target| PortConfig {
            host_ip: ip.into(),
            ..port(published, target, "tcp", "ingress")
        };
        let ports = [
            at("", 8081, 81),
            at("127.0.0.1", 8080, 80),
            at("127.0.0.1", 8081, 81),
            at("fd00::1", 80, 80),
        ];
        assert_eq!(
            of_service(&ports),
            "*:8081->81/tcp, 127.0.0.1:8080-8081->80-81/tcp, [fd00::1]:80->80/tcp"
        );
    }

    #[test]
    fn a_tasks_ports_are_those_of_its_host() {
        let ports = [port(8080, 80, "tcp", "host"), port(53, 53, "udp", "host")];
        assert_eq!(of_task(&ports), "*:8080->80/tcp,*:53->53/udp");
    }
}
