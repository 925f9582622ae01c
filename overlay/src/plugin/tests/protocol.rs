use serde_json::json;

use super::super::protocol::{self, CreateEndpoint, CreateNetwork, Publish};
use super::*;
use crate::directory::{Port, Protocol};

fn create_network(body: &str) -> CreateNetwork {
    match call("/NetworkDriver.CreateNetwork", body) {
        Ok(Call::CreateNetwork(network)) => network,
        other => panic!("{other:?}"),
    }
}

fn create_endpoint(body: &str) -> CreateEndpoint {
    match call("/NetworkDriver.CreateEndpoint", body) {
        Ok(Call::CreateEndpoint(endpoint)) => endpoint,
        other => panic!("{other:?}"),
    }
}

fn publish(options: serde_json::Value) -> Publish {
    let body = json!({"NetworkID": NETWORK, "EndpointID": ENDPOINT, "Options": options});
    match call(
        "/NetworkDriver.ProgramExternalConnectivity",
        &body.to_string(),
    ) {
        Ok(Call::Publish(publish)) => publish,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_network_says_which_of_the_swarms_it_is() {
    let network = create_network(CREATE_NETWORK);
    assert_eq!(network.network, NETWORK);
    assert_eq!(network.swarm_network().unwrap(), SWARM_NETWORK);
    let subnets = network.subnets().unwrap();
    assert_eq!(subnets[0], ("10.0.5.0/24".parse().unwrap(), ip("10.0.5.1")));
    assert_eq!(
        subnets[1],
        ("fd00:5::/64".parse().unwrap(), ip("fd00:5::1"))
    );
}

#[test]
fn a_network_of_no_swarm_is_refused_with_the_way_to_make_one() {
    let network = create_network(r#"{"NetworkID":"a","Options":{},"IPv4Data":[],"IPv6Data":[]}"#);
    let refusal = network.swarm_network().unwrap_err();
    assert!(
        refusal.to_string().contains("swarmlet network create"),
        "{refusal}"
    );
}

#[test]
fn a_network_may_say_how_large_its_packets_are() {
    let mtu = |text| {
        let options = json!({"swarmlet.network": "0000000000000000000000abc", "com.docker.network.driver.mtu": text});
        let body = json!({"NetworkID": "a", "Options": {"com.docker.network.generic": options}});
        create_network(&body.to_string()).mtu()
    };
    assert_eq!(create_network(CREATE_NETWORK).mtu().unwrap(), None);
    assert_eq!(mtu("1300").unwrap(), Some(1300));
    assert!(matches!(mtu("many"), Err(Refusal::Malformed(_))));
}

#[test]
fn an_id_in_other_digits_is_refused() {
    for id in [
        "",
        "abc",
        "0000000000000000000000ABC",
        "zzzzzzzzzzzzzzzzzzzzzzzzz",
        "+000000000000000000000abc",
    ] {
        let body = json!({"NetworkID": "a", "Options": {"com.docker.network.generic": {"swarmlet.network": id}}});
        let refusal = create_network(&body.to_string()).swarm_network();
        assert!(
            matches!(refusal, Err(Refusal::BadId(_))),
            "{id}: {refusal:?}"
        );
    }
}

#[test]
fn ids_are_read_as_they_are_written() {
    for id in [0, 1, SWARM_NETWORK, NetworkId::MAX] {
        let text = protocol::format_id(id);
        assert_eq!(text.len(), 25);
        assert_eq!(protocol::parse_id(&text), Some(id));
    }
}

#[test]
fn a_subnet_without_a_gateway_is_refused() {
    let body = r#"{"NetworkID":"a","IPv4Data":[{"Pool":"10.0.5.0/24"}]}"#;
    assert!(matches!(
        create_network(body).subnets(),
        Err(Refusal::NoGateway(_))
    ));
}

#[test]
fn an_endpoint_brings_the_addresses_that_it_has() {
    let both = create_endpoint(CREATE_ENDPOINT);
    assert_eq!(both.addresses().unwrap(), [ip("10.0.5.8"), ip("fd00:5::3")]);
    assert!(!both.has_mac());
    let one = create_endpoint(CREATE_ENDPOINT_V4);
    assert_eq!(one.addresses().unwrap(), [ip("10.0.6.2")]);
}

#[test]
fn what_is_absent_null_or_unknown_is_no_error() {
    let bodies = [
        r#"{"NetworkID":"n","EndpointID":"e","Interface":{"Address":"10.0.5.8/24"}}"#,
        r#"{"NetworkID":"n","EndpointID":"e","Interface":{"Address":"10.0.5.8/24","AddressIPv6":null,"MacAddress":null,"New":1},"Options":null,"More":[]}"#,
    ];
    for body in bodies {
        assert_eq!(create_endpoint(body).addresses().unwrap(), [ip("10.0.5.8")]);
    }
    for body in [
        r#"{"NetworkID":"n","EndpointID":"e"}"#,
        r#"{"NetworkID":"n","EndpointID":"e","Interface":null}"#,
    ] {
        let addresses = create_endpoint(body).addresses();
        assert!(
            matches!(addresses, Err(Refusal::NoAddress)),
            "{addresses:?}"
        );
    }
    let network =
        create_network(r#"{"NetworkID":"a","Options":null,"IPv4Data":null,"IPv6Data":null}"#);
    assert_eq!(network.subnets().unwrap(), []);
}

#[test]
fn what_cannot_be_read_is_refused() {
    for body in ["", "{", "[]", r#"{"EndpointID":7}"#, r#"{"NetworkID":"a"}"#] {
        let refusal = call("/NetworkDriver.Join", body);
        assert!(
            matches!(refusal, Err(Refusal::Malformed(_))),
            "{body}: {refusal:?}"
        );
    }
}

#[test]
fn questions_that_need_no_body_come_without_one() {
    assert_eq!(call("/Plugin.Activate", "").unwrap(), Call::Activate);
    assert_eq!(
        call("/NetworkDriver.GetCapabilities", "").unwrap(),
        Call::Capabilities
    );
}

#[test]
fn an_unknown_question_is_left_to_the_server() {
    assert!(Call::parse("/NetworkDriver.AllocateNetwork", b"{}").is_none());
    assert!(Call::parse("/", b"").is_none());
}

/// Of `docker run -p 8080:80 -p 127.0.0.1:53:5353/udp`.
#[test]
fn published_ports_are_those_of_the_port_map() {
    let options = json!({
        "com.docker.network.endpoint.exposedports": [{"Proto": 6, "Port": 80}, {"Proto": 17, "Port": 5353}],
        "com.docker.network.portmap": [
            {"Proto": 6, "IP": "", "Port": 80, "HostIP": "", "HostPort": 8080, "HostPortEnd": 8080},
            {"Proto": 17, "IP": "", "Port": 5353, "HostIP": "127.0.0.1", "HostPort": 53, "HostPortEnd": 53},
        ],
    });
    let tcp = Port {
        protocol: Protocol::Tcp,
        published: 8080,
        target: 80,
        host_ip: None,
    };
    let udp = Port {
        protocol: Protocol::Udp,
        published: 53,
        target: 5353,
        host_ip: Some(ip("127.0.0.1")),
    };
    let one = |port: Port| protocol::PortRange {
        last: port.published,
        port,
    };
    assert_eq!(publish(options).ports().unwrap(), [one(tcp), one(udp)]);
}

#[test]
fn no_ports_are_published_where_none_are_named() {
    for options in [
        json!({}),
        json!(null),
        json!({"com.docker.network.portmap": null}),
        json!({"com.docker.network.portmap": []}),
    ] {
        assert_eq!(publish(options).ports().unwrap(), []);
    }
}

/// Of `docker run -p 80 -p 8000-8010:81`.
#[test]
fn a_ports_number_may_be_left_open() {
    let options = json!({"com.docker.network.portmap": [
        {"Proto": 6, "Port": 80, "HostPort": 0, "HostPortEnd": 0},
        {"Proto": 6, "Port": 81, "HostPort": 8000, "HostPortEnd": 8010},
    ]});
    let ports = publish(options).ports().unwrap();
    let numbers = ports.iter().map(|it| (it.port.published, it.last));
    assert_eq!(numbers.collect::<Vec<_>>(), [(0, 0), (8000, 8010)]);
}

#[test]
fn answers_are_what_the_engine_reads() {
    assert_eq!(
        protocol::activated(),
        json!({"Implements": ["NetworkDriver", "IpamDriver"]})
    );
    assert_eq!(
        protocol::capabilities(),
        json!({"Scope": "local", "ConnectivityScope": "local"})
    );
    assert_eq!(
        protocol::endpoint_created(Some([2, 0x42, 10, 0, 5, 8])),
        json!({"Interface": {"MacAddress": "02:42:0a:00:05:08"}})
    );
    let text = "address 10.0.5.9 is not assigned to a container of this node on this network";
    assert_eq!(
        protocol::refused(&Refusal::Unexpected(ip("10.0.5.9"))),
        json!({"Err": text, "Error": text})
    );
}

/// Whatever the engine sends, the answer is an answer.
#[test]
fn no_body_makes_it_panic() {
    bolero::check!()
        .with_iterations(20_000)
        .for_each(|bytes: &[u8]| {
            for path in [
                "/NetworkDriver.CreateNetwork",
                "/NetworkDriver.CreateEndpoint",
                "/NetworkDriver.ProgramExternalConnectivity",
            ] {
                match Call::parse(path, bytes) {
                    Some(Ok(Call::CreateNetwork(network))) => {
                        drop((network.swarm_network(), network.subnets()))
                    }
                    Some(Ok(Call::CreateEndpoint(endpoint))) => drop(endpoint.addresses()),
                    Some(Ok(Call::Publish(publish))) => drop(publish.ports()),
                    _ => {}
                }
            }
        });
}
