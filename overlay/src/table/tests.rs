use super::*;
use crate::directory::OutdatedPorts;
use crate::kit::{Site, ip, node, tcp};

/// Network 5 with service 50 behind 10.0.5.2, a task here and one on node 2.
fn shop() -> Site {
    let mut site = Site::new();
    site.network(5, &["10.0.5.0/24"]);
    site.service(50, 5, &["10.0.5.2"]);
    site.task(50, 5, "10.0.5.3", 1);
    site.local(5, "10.0.5.3", "swv00003");
    site.task(50, 5, "10.0.5.4", 2);
    site
}

fn addrs(texts: &[&str]) -> BTreeSet<IpAddr> {
    texts.iter().map(|text| ip(text)).collect()
}

#[test]
fn an_address_says_its_network() {
    let mut site = shop();
    site.network(6, &["10.0.6.0/24", "fd00:6::/64"]);
    let subnets = site.table().subnets;
    assert_eq!(subnets.network_of(ip("10.0.5.255")), Some(5));
    assert_eq!(subnets.network_of(ip("10.0.6.0")), Some(6));
    assert_eq!(subnets.network_of(ip("fd00:6::9")), Some(6));
    assert_eq!(subnets.network_of(ip("10.0.7.0")), None);
    assert_eq!(subnets.network_of(ip("9.255.255.255")), None);
    assert_eq!(subnets.network_of(ip("fd00:5::9")), None);
}

#[test]
fn a_vip_leads_to_the_ready_tasks_of_its_family() {
    let mut site = shop();
    site.network(6, &["10.0.6.0/24", "fd00:6::/64"]);
    site.service(60, 6, &["10.0.6.2", "fd00:6::2"]);
    site.task(60, 6, "10.0.6.3", 2);
    site.task(60, 6, "fd00:6::3", 2);
    let vips = site.table().vips;
    assert_eq!(
        vips[&ip("10.0.5.2")].backends,
        addrs(&["10.0.5.3", "10.0.5.4"])
    );
    assert_eq!(vips[&ip("10.0.6.2")].backends, addrs(&["10.0.6.3"]));
    assert_eq!(vips[&ip("fd00:6::2")].backends, addrs(&["fd00:6::3"]));
}

#[test]
fn a_draining_task_is_routed_to_but_not_chosen() {
    let mut site = shop();
    site.draining(50, 5, "10.0.5.4", 2);
    let table = site.table();
    assert_eq!(table.node_of(ip("10.0.5.4")), Some(node(2)));
    assert_eq!(table.vips[&ip("10.0.5.2")].backends, addrs(&["10.0.5.3"]));
    assert_eq!(table.names[&5]["s50"].tasks, addrs(&["10.0.5.3"]));
}

#[test]
fn a_task_here_is_chosen_only_while_its_container_is_connected() {
    let mut site = shop();
    site.view.locals.clear();
    let table = site.table();
    assert_eq!(table.vips[&ip("10.0.5.2")].backends, addrs(&["10.0.5.4"]));
    assert_eq!(table.node_of(ip("10.0.5.3")), None);
}

#[test]
fn a_connected_container_is_not_elsewhere_too() {
    let mut site = shop();
    site.task(50, 5, "10.0.5.3", 2);
    let table = site.table();
    assert_eq!(table.node_of(ip("10.0.5.3")), None);
    assert!(table.locals.contains_key(&ip("10.0.5.3")));
}

#[test]
fn nobody_is_sent_to_what_is_led_elsewhere() {
    let mut site = shop();
    site.network(1, &["10.0.0.0/24"]).ingress = true;
    site.service(50, 1, &[]).ports = [tcp(8080, 80)].into();
    for addr in ["10.0.0.4", "10.0.0.5"] {
        site.task(50, 1, addr, 2);
    }
    let mut table = site.table();
    let whole = table.clone();
    table.avoid(&BTreeSet::new());
    assert_eq!(table, whole);
    let taken = ["10.0.5.2/31", "10.0.5.4/31", "10.0.0.5/32"];
    table.avoid(&taken.map(|net| net.parse().unwrap()).into());
    // What is here is reached all the same, and a VIP is none of the host's ways.
    assert_eq!(table.vips[&ip("10.0.5.2")].backends, addrs(&["10.0.5.3"]));
    assert_eq!(table.names[&5]["s50"].tasks, addrs(&["10.0.5.3"]));
    let targets: Vec<_> = table
        .ports
        .values()
        .flat_map(|it| it.backends.keys())
        .collect();
    assert_eq!(targets, [&ip("10.0.0.4")]);
    assert_eq!(table.remotes, whole.remotes);
}

#[test]
fn an_endpoint_outside_its_network_is_nowhere() {
    let mut site = shop();
    site.task(50, 5, "10.0.6.4", 2);
    site.task(50, 9, "10.0.5.9", 2);
    let table = site.table();
    assert_eq!(table.node_of(ip("10.0.6.4")), None);
    assert_eq!(table.node_of(ip("10.0.5.9")), None);
    assert_eq!(table.vips[&ip("10.0.5.2")].backends.len(), 2);
}

#[test]
fn a_name_without_vip_means_the_tasks() {
    let mut site = shop();
    let aliases = BTreeSet::from(["Web".to_owned()]);
    site.service(51, 5, &[])
        .networks
        .get_mut(&5)
        .unwrap()
        .aliases = aliases;
    site.task(51, 5, "10.0.5.8", 2);
    let names = &site.table().names[&5];
    assert_eq!(names["s51"].direct, addrs(&["10.0.5.8"]));
    assert_eq!(names["web"], names["s51"]);
    assert_eq!(names["s50"].vips, addrs(&["10.0.5.2"]));
    assert_eq!(names["s50"].direct, addrs(&[]));
    assert_eq!(names["s50"].tasks, addrs(&["10.0.5.3", "10.0.5.4"]));
}

#[test]
fn services_that_share_an_alias_answer_together() {
    let mut site = shop();
    for (id, vip) in [(51, "10.0.5.20"), (52, "10.0.5.21")] {
        let aliases = BTreeSet::from(["db".to_owned()]);
        site.service(id, 5, &[vip])
            .networks
            .get_mut(&5)
            .unwrap()
            .aliases = aliases;
    }
    let names = &site.table().names[&5];
    assert_eq!(names["db"].vips, addrs(&["10.0.5.20", "10.0.5.21"]));
}

#[test]
fn a_published_port_leads_to_the_tasks_on_the_ingress_network() {
    let mut site = shop();
    site.network(1, &["10.0.0.0/24"]).ingress = true;
    site.service(50, 1, &["10.0.0.2"]).ports = BTreeSet::from([tcp(8080, 80)]);
    site.task(50, 1, "10.0.0.3", 1);
    site.local(1, "10.0.0.3", "swv00004");
    site.draining(50, 1, "10.0.0.4", 2);
    let table = site.table();
    let (port, target) = table.ports.first_key_value().unwrap();
    assert_eq!(port.number, 8080);
    assert_eq!(target.backends, BTreeMap::from([(ip("10.0.0.3"), 80)]));
    let reached = BTreeSet::from([(ip("10.0.0.3"), Protocol::Tcp, 80)]);
    assert_eq!(table.ingress, reached);
    assert!(
        !table.names.contains_key(&1),
        "the ingress network has no names"
    );
}

#[test]
fn a_task_that_is_to_be_replaced_is_asked_at_its_own_port() {
    let mut site = shop();
    site.network(1, &["10.0.0.0/24"]).ingress = true;
    site.task(50, 1, "10.0.0.3", 1);
    site.local(1, "10.0.0.3", "swv00004");
    site.task(50, 1, "10.0.0.4", 2);
    let tasks = site.view.endpoints.iter();
    let tasks = tasks.filter(|it| it.addr == ip("10.0.0.3"));
    let tasks = tasks.map(|it| it.task).collect();
    let service = site.service(50, 1, &[]);
    service.ports = BTreeSet::from([tcp(8080, 81), tcp(9090, 90)]);
    let ports = BTreeSet::from([tcp(8080, 80)]);
    service.outdated = vec![OutdatedPorts { tasks, ports }];
    let table = site.table();
    let targets = table.ports.iter().map(|(port, target)| {
        let backends = target.backends.iter();
        let backends = backends.map(|(addr, port)| format!("{addr}:{port}"));
        (port.number, backends.collect::<Vec<_>>())
    });
    let wanted = [
        (
            8080,
            vec!["10.0.0.3:80".to_owned(), "10.0.0.4:81".to_owned()],
        ),
        (9090, vec!["10.0.0.4:90".to_owned()]),
    ];
    assert_eq!(targets.collect::<Vec<_>>(), wanted);
    let reached = BTreeSet::from([(ip("10.0.0.3"), Protocol::Tcp, 80)]);
    assert_eq!(table.ingress, reached);
}

#[test]
fn the_nodes_own_ports_are_not_published_on_it() {
    let mut site = shop();
    site.network(1, &["10.0.0.0/24"]).ingress = true;
    let udp = |number| Port {
        protocol: Protocol::Udp,
        ..tcp(number, 80)
    };
    let ports = BTreeSet::from([tcp(2377, 80), udp(2377), udp(4789), udp(53)]);
    site.service(60, 1, &[]).ports = ports;
    site.view.own_ports = [2377, 4789].into();
    let table = site.table();
    let published = table.ports.keys().map(|it| (it.protocol, it.number));
    let wanted = [(Protocol::Tcp, 2377), (Protocol::Udp, 53)];
    assert_eq!(published.collect::<Vec<_>>(), wanted);
}

#[test]
fn a_draining_task_goes_on_answering_outside_clients() {
    let mut site = shop();
    site.network(1, &["10.0.0.0/24"]).ingress = true;
    site.service(50, 1, &[]).ports = BTreeSet::from([tcp(8080, 80)]);
    site.draining(50, 1, "10.0.0.3", 1);
    site.local(1, "10.0.0.3", "swv00004");
    let table = site.table();
    assert_eq!(table.ingress.len(), 1);
    assert!(
        table
            .ports
            .values()
            .all(|target| target.backends.is_empty())
    );
}

#[test]
fn a_container_asks_for_all_its_networks_by_any_address() {
    let mut site = shop();
    site.network(6, &["10.0.6.0/24"]);
    site.local(6, "10.0.6.3", "swv00004").sandbox = "swv00003".to_owned();
    site.local(6, "10.0.6.9", "swv00009");
    let table = site.table();
    assert_eq!(table.networks_of(ip("10.0.5.3")), BTreeSet::from([5, 6]));
    assert_eq!(table.networks_of(ip("10.0.6.3")), BTreeSet::from([5, 6]));
    assert_eq!(table.networks_of(ip("10.0.6.9")), BTreeSet::from([6]));
    assert_eq!(table.networks_of(ip("10.0.5.4")), BTreeSet::new());
}

#[test]
fn a_port_in_host_mode_leads_to_the_one_container() {
    let mut site = shop();
    let local = site.local(5, "10.0.5.3", "");
    local.ports = BTreeSet::from([tcp(9000, 90)]);
    let table = site.table();
    let target = table.ports.values().next().unwrap();
    assert_eq!(target.backends, BTreeMap::from([(ip("10.0.5.3"), 90)]));
    assert!(
        table.ingress.is_empty(),
        "nobody reaches it through the TUN"
    );
}
