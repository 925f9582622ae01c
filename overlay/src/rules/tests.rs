mod kernel;

use insta::assert_snapshot;
use proptest::prelude::*;

use self::kernel::Kernel;
use crate::directory::NO_SERVICE;
use crate::kit::{Site, tcp};

fn shop() -> Site {
    let mut site = Site::new();
    site.host("192.0.2.1");
    site.peer(2, "192.0.2.2");
    site.network(1, &["10.0.0.0/24"]).ingress = true;
    site.network(5, &["10.0.5.0/24", "fd00:5::/64"]);
    site.network(6, &["10.0.6.0/24"]).internal = true;
    site.service(50, 5, &["10.0.5.2", "fd00:5::2"]);
    site.service(50, 1, &[]).ports = [tcp(8080, 80)].into();
    for (network, addr) in [(5, "10.0.5.3"), (5, "fd00:5::3"), (1, "10.0.0.3")] {
        site.task(50, network, addr, 1);
        site.local(network, addr, "swv00003");
    }
    for (network, addr) in [(5, "10.0.5.4"), (1, "10.0.0.4")] {
        site.task(50, network, addr, 2);
    }
    site
}

#[test]
fn the_whole_of_a_small_shop() {
    assert_snapshot!(shop().rules().whole(), @r#"
    add table inet swarmlet
    delete table inet swarmlet
    add table inet swarmlet
    add set inet swarmlet answers4 { type ipv4_addr . inet_proto . inet_service; }
    add set inet swarmlet answers6 { type ipv6_addr . inet_proto . inet_service; }
    add set inet swarmlet askers4 { type ipv4_addr; size 65535; flags dynamic,timeout; timeout 1m; }
    add set inet swarmlet askers6 { type ipv6_addr; size 65535; flags dynamic,timeout; timeout 1m; }
    add map inet swarmlet containers4 { type ifname . ipv4_addr : verdict; }
    add map inet swarmlet containers6 { type ifname . ipv6_addr : verdict; }
    add set inet swarmlet guests4 { type ipv4_addr; }
    add set inet swarmlet guests6 { type ipv6_addr; }
    add set inet swarmlet hairpin4 { type ipv4_addr . ipv4_addr; }
    add set inet swarmlet hairpin6 { type ipv6_addr . ipv6_addr; }
    add set inet swarmlet homeward4 { type ipv4_addr . ipv4_addr; }
    add set inet swarmlet homeward6 { type ipv6_addr . ipv6_addr; }
    add set inet swarmlet ingress4 { type ipv4_addr; flags interval; }
    add set inet swarmlet ingress6 { type ipv6_addr; flags interval; }
    add set inet swarmlet overlay4 { type ipv4_addr; flags interval; }
    add set inet swarmlet overlay6 { type ipv6_addr; flags interval; }
    add map inet swarmlet ports { type inet_proto . inet_service : verdict; }
    add map inet swarmlet ports4 { type ipv4_addr . inet_proto . inet_service : verdict; }
    add map inet swarmlet ports6 { type ipv6_addr . inet_proto . inet_service : verdict; }
    add map inet swarmlet vip4 { type ipv4_addr : verdict; }
    add map inet swarmlet vip6 { type ipv6_addr : verdict; }
    add set inet swarmlet vips4 { type ipv4_addr; }
    add set inet swarmlet vips6 { type ipv6_addr; }
    add chain inet swarmlet dstnat { type nat hook prerouting priority dstnat; policy accept; }
    add chain inet swarmlet dstnat_local { type nat hook output priority -100; policy accept; }
    add chain inet swarmlet forward { type filter hook forward priority filter; policy accept; }
    add chain inet swarmlet forward_container
    add chain inet swarmlet forward_outside
    add chain inet swarmlet forward_tunnel
    add chain inet swarmlet from_container
    add chain inet swarmlet from_tunnel
    add chain inet swarmlet input { type filter hook input priority filter; policy accept; }
    add chain inet swarmlet net_10.0.0.0_24
    add chain inet swarmlet net_10.0.5.0_24
    add chain inet swarmlet net_10.0.6.0_24
    add chain inet swarmlet output { type filter hook output priority filter; policy accept; }
    add chain inet swarmlet port_tcp_8080
    add chain inet swarmlet prerouting { type filter hook prerouting priority mangle; policy accept; }
    add chain inet swarmlet published
    add chain inet swarmlet refuse
    add chain inet swarmlet srcnat { type nat hook postrouting priority srcnat - 1; policy accept; }
    add chain inet swarmlet vip_10.0.5.2
    add chain inet swarmlet vip_fd00_5__2
    add rule inet swarmlet dstnat iifname "swv0000*" ip daddr vmap @vip4
    add rule inet swarmlet dstnat iifname "swv0000*" ip6 daddr vmap @vip6
    add rule inet swarmlet dstnat iifname "swv0000*" ip saddr @guests4 ip daddr != @overlay4 meta l4proto { tcp, udp } th dport 53 dnat ip to 169.254.1.1
    add rule inet swarmlet dstnat iifname "swv0000*" ip6 saddr @guests6 ip6 daddr != @overlay6 meta l4proto { tcp, udp } th dport 53 dnat ip6 to fd53:7761:726d:6c65::1:0
    add rule inet swarmlet dstnat iifname != "swl0" fib daddr type local jump published
    add rule inet swarmlet dstnat_local fib daddr type local jump published
    add rule inet swarmlet forward iifname "swv0000*" goto forward_container
    add rule inet swarmlet forward iifname "swl0" goto forward_tunnel
    add rule inet swarmlet forward oifname "swv0000*" goto forward_outside
    add rule inet swarmlet forward oifname "swl0" goto forward_outside
    add rule inet swarmlet forward_container oifname != "swv0000*" oifname != "swl0" ip daddr @overlay4 goto refuse
    add rule inet swarmlet forward_container oifname != "swv0000*" oifname != "swl0" ip6 daddr @overlay6 goto refuse
    add rule inet swarmlet forward_container ct state established,related accept
    add rule inet swarmlet forward_container ct status dnat accept
    add rule inet swarmlet forward_container ip daddr @vips4 goto refuse
    add rule inet swarmlet forward_container ip6 daddr @vips6 goto refuse
    add rule inet swarmlet forward_outside ct state established,related accept
    add rule inet swarmlet forward_outside ct status dnat accept
    add rule inet swarmlet forward_outside drop
    add rule inet swarmlet forward_tunnel ct state established,related accept
    add rule inet swarmlet forward_tunnel ip saddr @overlay4 ip daddr @ingress4 drop
    add rule inet swarmlet forward_tunnel ip6 saddr @overlay6 ip6 daddr @ingress6 drop
    add rule inet swarmlet forward_tunnel oifname "swv0000*" ip saddr @overlay4 accept
    add rule inet swarmlet forward_tunnel oifname "swv0000*" ip6 saddr @overlay6 accept
    add rule inet swarmlet forward_tunnel oifname "swv0000*" ip daddr . meta l4proto . th dport @answers4 accept
    add rule inet swarmlet forward_tunnel oifname "swv0000*" ip6 daddr . meta l4proto . th dport @answers6 accept
    add rule inet swarmlet forward_tunnel drop
    add rule inet swarmlet from_container ct mark 0x53770000 meta mark set 0x53770000
    add rule inet swarmlet from_container ip daddr 127.0.0.0/8 drop
    add rule inet swarmlet from_container ip6 daddr { fe80::/10, ff02::/16 } icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept
    add rule inet swarmlet from_container iifname . ip saddr vmap @containers4
    add rule inet swarmlet from_container iifname . ip6 saddr vmap @containers6
    add rule inet swarmlet from_container drop
    add rule inet swarmlet from_tunnel ip saddr 127.0.0.0/8 drop
    add rule inet swarmlet from_tunnel ip daddr 127.0.0.0/8 drop
    add rule inet swarmlet from_tunnel ct state new ip saddr != @overlay4 ct mark set 0x53770000
    add rule inet swarmlet from_tunnel ct state new ip6 saddr != @overlay6 ct mark set 0x53770000
    add rule inet swarmlet input iifname "swl0" ct state established,related accept
    add rule inet swarmlet input iifname "swl0" drop
    add rule inet swarmlet input iifname "swv0000*" ip daddr 169.254.1.1 udp dport 53 update @askers4 { ip saddr limit rate over 5000/second burst 1500 packets } drop
    add rule inet swarmlet input iifname "swv0000*" ip6 daddr fd53:7761:726d:6c65::1:0 udp dport 53 update @askers6 { ip6 saddr limit rate over 5000/second burst 1500 packets } drop
    add rule inet swarmlet net_10.0.0.0_24 ct state established,related accept
    add rule inet swarmlet net_10.0.0.0_24 ip daddr @overlay4 drop
    add rule inet swarmlet net_10.0.0.0_24 ip6 daddr @overlay6 drop
    add rule inet swarmlet net_10.0.5.0_24 ct state established,related accept
    add rule inet swarmlet net_10.0.5.0_24 ip daddr 10.0.5.0/24 accept
    add rule inet swarmlet net_10.0.5.0_24 ip6 daddr fd00:5::/64 accept
    add rule inet swarmlet net_10.0.5.0_24 ip daddr @overlay4 drop
    add rule inet swarmlet net_10.0.5.0_24 ip6 daddr @overlay6 drop
    add rule inet swarmlet net_10.0.6.0_24 ct state established,related accept
    add rule inet swarmlet net_10.0.6.0_24 ip daddr 169.254.1.1 meta l4proto { tcp, udp } th dport 53 accept
    add rule inet swarmlet net_10.0.6.0_24 ip6 daddr fd53:7761:726d:6c65::1:0 meta l4proto { tcp, udp } th dport 53 accept
    add rule inet swarmlet net_10.0.6.0_24 ip saddr @guests4 ip daddr != @overlay4 meta l4proto { tcp, udp } th dport 53 accept
    add rule inet swarmlet net_10.0.6.0_24 ip6 saddr @guests6 ip6 daddr != @overlay6 meta l4proto { tcp, udp } th dport 53 accept
    add rule inet swarmlet net_10.0.6.0_24 icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept
    add rule inet swarmlet net_10.0.6.0_24 fib daddr type local drop
    add rule inet swarmlet net_10.0.6.0_24 ip daddr 10.0.6.0/24 accept
    add rule inet swarmlet net_10.0.6.0_24 drop
    add rule inet swarmlet output oifname "swl0" ct state established,related accept
    add rule inet swarmlet output oifname "swl0" ct status dnat accept
    add rule inet swarmlet output oifname "swl0" drop
    add rule inet swarmlet port_tcp_8080 meta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 10.0.0.3, 1 : 10.0.0.4 }:80
    add rule inet swarmlet prerouting iifname "swv0000*" goto from_container
    add rule inet swarmlet prerouting iifname "swl0" goto from_tunnel
    add rule inet swarmlet published ip daddr 169.254.1.1 return
    add rule inet swarmlet published ip6 daddr fd53:7761:726d:6c65::1:0 return
    add rule inet swarmlet published ip daddr 127.0.0.0/8 ip daddr != 127.0.0.1 return
    add rule inet swarmlet published ip daddr . meta l4proto . th dport vmap @ports4
    add rule inet swarmlet published ip6 daddr . meta l4proto . th dport vmap @ports6
    add rule inet swarmlet published meta l4proto . th dport vmap @ports
    add rule inet swarmlet refuse meta l4proto tcp reject with tcp reset
    add rule inet swarmlet refuse reject with icmpx type port-unreachable
    add rule inet swarmlet srcnat ip saddr . ip daddr @hairpin4 snat ip to 169.254.1.1
    add rule inet swarmlet srcnat ip saddr . ip daddr @homeward4 snat ip to 192.0.2.1
    add rule inet swarmlet srcnat fib saddr type local ct status dnat ip daddr @overlay4 snat ip to 192.0.2.1
    add rule inet swarmlet srcnat ct status dnat ip saddr @overlay4 ip daddr @ingress4 snat ip to 192.0.2.1
    add rule inet swarmlet srcnat ct status dnat ip daddr @ingress4 snat ip to ip saddr
    add rule inet swarmlet srcnat ip6 saddr . ip6 daddr @hairpin6 snat ip6 to fd53:7761:726d:6c65::1:0
    add rule inet swarmlet srcnat ip6 saddr . ip6 daddr @homeward6 snat ip6 to fd53:7761:726d:6c65::1:0
    add rule inet swarmlet srcnat fib saddr type local ct status dnat ip6 daddr @overlay6 snat ip6 to fd53:7761:726d:6c65::1:0
    add rule inet swarmlet srcnat ct status dnat ip6 saddr @overlay6 ip6 daddr @ingress6 snat ip6 to fd53:7761:726d:6c65::1:0
    add rule inet swarmlet srcnat ct status dnat ip6 daddr @ingress6 snat ip6 to ip6 saddr
    add rule inet swarmlet srcnat oifname "swv0000*" return
    add rule inet swarmlet srcnat oifname "swl0" return
    add rule inet swarmlet srcnat ip saddr @overlay4 masquerade
    add rule inet swarmlet srcnat ip6 saddr @overlay6 masquerade
    add rule inet swarmlet vip_10.0.5.2 dnat ip to numgen random mod 2 map { 0 : 10.0.5.3, 1 : 10.0.5.4 }
    add rule inet swarmlet vip_fd00_5__2 dnat ip6 to fd00:5::3
    add element inet swarmlet answers4 { 10.0.0.3 . tcp . 80 }
    add element inet swarmlet containers4 { "swv00003" . 10.0.0.3 : goto net_10.0.0.0_24, "swv00003" . 10.0.5.3 : goto net_10.0.5.0_24 }
    add element inet swarmlet containers6 { "swv00003" . fd00:5::3 : goto net_10.0.5.0_24 }
    add element inet swarmlet hairpin4 { 10.0.0.3 . 10.0.0.3, 10.0.5.3 . 10.0.5.3 }
    add element inet swarmlet hairpin6 { fd00:5::3 . fd00:5::3 }
    add element inet swarmlet homeward4 { 192.0.2.2 . 10.0.0.4 }
    add element inet swarmlet ingress4 { 10.0.0.0/24 }
    add element inet swarmlet overlay4 { 10.0.0.0/24, 10.0.5.0/24, 10.0.6.0/24 }
    add element inet swarmlet overlay6 { fd00:5::/64 }
    add element inet swarmlet ports { tcp . 8080 : goto port_tcp_8080 }
    add element inet swarmlet vip4 { 10.0.5.2 : goto vip_10.0.5.2 }
    add element inet swarmlet vip6 { fd00:5::2 : goto vip_fd00_5__2 }
    add element inet swarmlet vips4 { 10.0.5.2 }
    add element inet swarmlet vips6 { fd00:5::2 }
    "#);
}

#[test]
fn a_drained_endpoint_costs_two_rules() {
    let mut site = shop();
    let before = site.rules();
    site.draining(50, 5, "10.0.5.4", 2);
    assert_snapshot!(site.rules().since(&before), @r#"
    flush chain inet swarmlet vip_10.0.5.2
    add rule inet swarmlet vip_10.0.5.2 dnat ip to 10.0.5.3
    "#);
}

#[test]
fn the_last_backend_takes_the_chain_with_it() {
    let mut site = shop();
    site.gone("10.0.5.4");
    let before = site.rules();
    site.gone("10.0.5.3");
    assert_snapshot!(site.rules().since(&before), @r#"
    delete element inet swarmlet vip4 { 10.0.5.2 }
    flush chain inet swarmlet vip_10.0.5.2
    delete chain inet swarmlet vip_10.0.5.2
    "#);
}

#[test]
fn a_container_of_no_service_is_led_to_the_name_server() {
    let mut site = shop();
    site.local(5, "10.0.5.9", "swv00009");
    site.local(5, "fd00:5::9", "swv00009");
    let before = site.rules();
    for addr in ["10.0.5.9", "fd00:5::9"] {
        site.task(NO_SERVICE, 5, addr, 1);
    }
    // One of another node is led there.
    site.task(NO_SERVICE, 5, "10.0.5.10", 2);
    assert_snapshot!(site.rules().since(&before), @r#"
    add element inet swarmlet guests4 { 10.0.5.9 }
    add element inet swarmlet guests6 { fd00:5::9 }
    "#);
}

#[test]
fn nothing_changed_is_nothing_said() {
    assert_eq!(shop().rules().since(&shop().rules()), "");
}

#[test]
fn one_endpoint_of_a_thousand_costs_one_chain() {
    let mut site = Site::large();
    let before = site.rules();
    site.draining(7, 7, "10.0.7.21", 9);
    assert_snapshot!(site.rules().since(&before), @r#"
    flush chain inet swarmlet vip_10.0.7.2
    add rule inet swarmlet vip_10.0.7.2 dnat ip to numgen random mod 4 map { 0 : 10.0.7.20, 1 : 10.0.7.22, 2 : 10.0.7.23, 3 : 10.0.7.24 }
    "#);
}

#[test]
fn an_internal_network_is_closed_to_those_alone_who_are_on_no_open_one() {
    let mut site = shop();
    for (network, addr, veth) in [
        (6, "10.0.6.3", "swv00006"),
        // It publishes a port, which is no way out.
        (1, "10.0.0.6", "swv00006"),
        (5, "10.0.5.7", "swv00007"),
        (6, "10.0.6.7", "swv00007"),
        (1, "10.0.0.7", "swv00007"),
        (1, "10.0.0.8", "swv00008"),
    ] {
        site.local(network, addr, veth);
    }
    let rules = site.rules().whole();
    let elements = rules
        .lines()
        .find(|line| line.contains("element inet swarmlet containers4"));
    let elements = elements.unwrap();
    for goes in [
        "\"swv00006\" . 10.0.6.3 : goto net_10.0.6.0_24,",
        "\"swv00006\" . 10.0.0.6 : goto net_10.0.0.0_24_closed,",
        "\"swv00007\" . 10.0.5.7 : goto net_10.0.5.0_24,",
        "\"swv00007\" . 10.0.6.7 : goto net_10.0.6.0_24_open",
        "\"swv00007\" . 10.0.0.7 : goto net_10.0.0.0_24",
        "\"swv00008\" . 10.0.0.8 : goto net_10.0.0.0_24",
    ] {
        assert!(elements.contains(goes), "{goes} not in {elements}");
    }
    let last = |chain: &str| {
        let start = format!("add rule inet swarmlet {chain} ");
        let last = rules.lines().rfind(|line| line.starts_with(&start));
        last.unwrap()[start.len()..].to_owned()
    };
    assert_eq!(last("net_10.0.0.0_24_closed"), "drop");
    assert_eq!(last("net_10.0.6.0_24_open"), "ip6 daddr @overlay6 drop");
}

proptest! {
    #[test]
    fn the_changes_in_sequence_make_the_whole(dice in prop::collection::vec(any::<u32>(), 1..120)) {
        let mut site = Site::new();
        let mut rules = site.rules();
        let mut kernel = Kernel::default();
        kernel.run(&rules.whole());
        for dice in dice {
            site.shake(dice);
            let next = site.rules();
            kernel.run(&next.since(&rules));
            rules = next;
            let mut anew = Kernel::default();
            anew.run(&rules.whole());
            prop_assert_eq!(&kernel, &anew);
        }
    }
}
