//! `GET /containers/json` and `GET /containers/{id}/json`: the engine's answers,
//! with the ports that lead to containers on networks of the swarm.
//!
//! The engine has our driver publish them, and knows of no driver but its own
//! which they are. Where there are none, its answer is passed on as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use axum::http::{Request, StatusCode};
use axum::response::Response;
use overlay::directory::Port;
use serde_json::{Map, Value, json};

use super::backend::{Backend, Published};
use super::engine::{self, Engine};
use super::error::ApiError;

pub(super) async fn shown(
    backend: &dyn Backend,
    engine: &Engine,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let published = backend.published();
    let path = request.uri().path().to_owned();
    let answer = engine.send(request).await?;
    if published.is_empty() || answer.status() != StatusCode::OK {
        return Ok(answer);
    }
    let (mut head, body) = answer.into_parts();
    let mut answer: Value = engine::json(&path, body).await?;
    match &mut answer {
        Value::Array(listed) => listed.iter_mut().for_each(|it| list(it, &published)),
        inspected => inspect(inspected, &published),
    }
    head.headers.remove(CONTENT_LENGTH);
    head.headers.remove(TRANSFER_ENCODING);
    Ok(Response::from_parts(head, Body::from(answer.to_string())))
}

/// Adds to one of a list.
fn list(container: &mut Value, published: &Published) {
    let ports = ports_of(container, published);
    let Some(container) = container.as_object_mut().filter(|_| !ports.is_empty()) else {
        return;
    };
    let known = container.entry("Ports").or_insert(Value::Null);
    let mut listed: Vec<Value> = known.as_array().cloned().unwrap_or_default();
    // Those that are open, and lead nowhere as far as the engine knows.
    let is_led = |entry: &Value| {
        let is_it = |port: &Port| {
            entry["PrivatePort"] == port.target && entry["Type"] == port.protocol.to_string()
        };
        entry.get("PublicPort").is_none() && ports.iter().any(|(_, port)| is_it(port))
    };
    listed.retain(|entry| !is_led(entry));
    listed.extend(ports.iter().map(|(at, port)| {
        json!({
            "IP": at.to_string(),
            "PrivatePort": port.target,
            "PublicPort": port.published,
            "Type": port.protocol.to_string(),
        })
    }));
    *known = listed.into();
}

/// Adds to one of which everything is told.
fn inspect(container: &mut Value, published: &Published) {
    let ports = ports_of(container, published);
    let settings = container.get_mut("NetworkSettings");
    let Some(settings) = settings.and_then(Value::as_object_mut) else {
        return;
    };
    let mut led: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (at, port) in ports {
        let bindings = led
            .entry(format!("{}/{}", port.target, port.protocol))
            .or_default();
        let number = port.published.to_string();
        bindings.push(json!({"HostIp": at.to_string(), "HostPort": number}));
    }
    if led.is_empty() {
        return;
    }
    let known = settings.entry("Ports").or_insert(Value::Null);
    if !known.is_object() {
        *known = Map::new().into();
    }
    for (port, bindings) in led {
        match &mut known[port] {
            Value::Array(known) => known.extend(bindings),
            other => *other = bindings.into(),
        }
    }
}

/// The ports that lead to a container, each with where it is asked on this host.
fn ports_of(container: &Value, published: &Published) -> BTreeSet<(IpAddr, Port)> {
    let networks = container["NetworkSettings"]["Networks"].as_object();
    let addrs = networks
        .into_iter()
        .flat_map(Map::values)
        .flat_map(|network| ["IPAddress", "GlobalIPv6Address"].map(|key| network[key].as_str()))
        .filter_map(|addr| addr?.parse::<IpAddr>().ok());
    let at = |addr: IpAddr, port: &Port| match addr {
        IpAddr::V4(_) => port.host_ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
        IpAddr::V6(_) => port.host_ip.unwrap_or(Ipv6Addr::UNSPECIFIED.into()),
    };
    addrs
        .filter_map(|addr| Some((addr, published.get(&addr)?)))
        .flat_map(|(addr, ports)| ports.iter().map(move |port| (at(addr, port), *port)))
        .collect()
}

#[cfg(test)]
mod tests {
    use overlay::directory::Protocol;

    use super::*;

    fn published() -> Published {
        let port = |protocol, published, target| Port {
            protocol,
            published,
            target,
            host_ip: None,
        };
        let local = Port {
            host_ip: Some(Ipv4Addr::LOCALHOST.into()),
            ..port(Protocol::Udp, 5353, 53)
        };
        let ports = BTreeSet::from([port(Protocol::Tcp, 40_000, 80), local]);
        let tcp = BTreeSet::from([port(Protocol::Tcp, 40_000, 80)]);
        let addr = |text: &str| text.parse().unwrap();
        [(addr("10.0.5.3"), ports), (addr("fd00:5::3"), tcp)].into()
    }

    fn container(addr: &str, addr6: &str, ports: Value) -> Value {
        json!({
            "Ports": ports.clone(),
            "NetworkSettings": {
                "Ports": ports,
                "Networks": {
                    "bridge": {"IPAddress": "172.17.0.2"},
                    "web": {"IPAddress": addr, "GlobalIPv6Address": addr6},
                },
            },
        })
    }

    #[test]
    fn a_list_shows_where_ports_lead_to() {
        let exposed = json!([
            {"PrivatePort": 80, "Type": "tcp"},
            {"PrivatePort": 443, "Type": "tcp"},
            {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        ]);
        let mut found = container("10.0.5.3", "", exposed.clone());
        list(&mut found, &published());
        assert_eq!(
            found["Ports"],
            json!([
                {"PrivatePort": 443, "Type": "tcp"},
                {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
                {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 40000, "Type": "tcp"},
                {"IP": "127.0.0.1", "PrivatePort": 53, "PublicPort": 5353, "Type": "udp"},
            ])
        );
        let mut stopped = container("", "", exposed.clone());
        list(&mut stopped, &published());
        assert_eq!(stopped["Ports"], exposed);
    }

    #[test]
    fn an_inspected_container_shows_them_by_its_own_ports() {
        let mut found = container(
            "10.0.5.3",
            "fd00:5::3",
            json!({"80/tcp": null, "1/tcp": null}),
        );
        inspect(&mut found, &published());
        assert_eq!(
            found["NetworkSettings"]["Ports"],
            json!({
                "1/tcp": null,
                "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "5353"}],
                "80/tcp": [
                    {"HostIp": "0.0.0.0", "HostPort": "40000"},
                    {"HostIp": "::", "HostPort": "40000"},
                ],
            })
        );
        let mut other = container("10.0.5.4", "", Value::Null);
        inspect(&mut other, &published());
        assert_eq!(other, container("10.0.5.4", "", Value::Null));
    }

    #[test]
    fn what_is_no_container_stays_as_it_is() {
        for answer in [
            json!({}),
            json!([]),
            json!("x"),
            json!({"NetworkSettings": 1}),
        ] {
            let mut same = answer.clone();
            inspect(&mut same, &published());
            list(&mut same, &published());
            assert_eq!(same, answer);
        }
    }
}
