//! What is made is removed, what is broken is named and healed.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use super::stage::{Stage, on_host, serve, sh};
use crate::kit::tcp;

/// Two networks, both families, a port and a TUN device.
fn shop(stage: &mut Stage) -> Vec<super::stage::Space> {
    stage.site.network(1, &["10.0.0.0/24"]).ingress = true;
    stage.site.network(5, &["10.0.5.0/24", "fd00:5::/64"]);
    stage.site.service(50, 5, &["10.0.5.2", "fd00:5::2"]);
    stage.site.service(50, 1, &[]).ports = [tcp(8080, 80)].into();
    stage.site.task(50, 5, "10.0.5.4", 2);
    stage.site.task(50, 1, "10.0.0.4", 2);
    vec![
        stage.task(50, 5, "10.0.5.3"),
        stage.task(50, 1, "10.0.0.3"),
        stage.outside(),
        stage.tunnel(&["10.0.5.4"]),
    ]
}

/// Of addresses, the kernel's own may still be on their way.
fn everything() -> String {
    sh(
        "while ip -6 addr | grep -q tentative; do :; done; ip addr; ip -4 route show table all; ip -6 route show table all; ip rule; ip -6 rule; \
        nft list ruleset; iptables -S; iptables -t nat -S",
    )
}

fn findings(stage: &mut Stage) -> Vec<String> {
    let found = stage.diagnose();
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn cleaning_up_leaves_nothing() {
    on_host(|stage| {
        sh("iptables -N DOCKER-USER && iptables -P FORWARD DROP");
        let before = everything();
        let spaces = shop(stage);
        stage.apply();
        stage.pass_engine();
        sh("ip link del up0");
        stage.clean_up();
        assert_eq!(everything(), before);
        drop(spaces);
    });
}

#[test]
fn applying_again_changes_nothing() {
    on_host(|stage| {
        let _spaces = shop(stage);
        assert!(stage.apply().routes > 0);
        let after = everything();
        assert_eq!(stage.apply(), Default::default());
        assert_eq!(everything(), after);
    });
}

#[test]
fn what_is_gone_takes_its_routes_with_it() {
    on_host(|stage| {
        let _spaces = shop(stage);
        stage.apply();
        stage.site.view.locals.remove(&crate::kit::ip("10.0.5.3"));
        stage.site.directory.networks.remove(&1);
        stage.apply();
        let routes = sh("ip route");
        assert!(!routes.contains("10.0.5.3"), "{routes}");
        assert!(!routes.contains("10.0.0."), "{routes}");
        assert!(routes.contains("10.0.5.0/24 dev swl0"), "{routes}");
        assert!(routes.contains("default via 192.0.2.254"), "{routes}");
    });
}

#[test]
fn a_tunnel_made_anew_gets_its_routes_again() {
    on_host(|stage| {
        let _spaces = shop(stage);
        stage.apply();
        sh("ip link del swl0");
        assert!(sh("ip route get 10.0.5.4 2>&1 || true").contains("Invalid argument"));
        let _far = stage.tunnel(&["10.0.5.4"]);
        stage.apply();
        assert!(sh("ip route get 10.0.5.4").contains("dev swl0"));
        assert_eq!(findings(stage), Vec::<String>::new());
    });
}

#[test]
fn routes_come_back_before_what_an_earlier_run_left_is_replaced() {
    on_host(|stage| {
        let _spaces = shop(stage);
        stage.apply();
        let rules = sh("nft list ruleset");
        sh("ip link del swl0");
        stage.start_anew();
        // Nothing is known yet of who runs here.
        let locals = std::mem::take(&mut stage.site.view.locals);
        let _far = stage.tunnel(&["10.0.5.4"]);
        stage.add_routes();
        assert!(sh("ip route get 10.0.5.4").contains("dev swl0"));
        assert!(sh("ip route get 10.0.5.3").contains("dev swv"));
        assert_eq!(sh("nft list ruleset"), rules);
        stage.site.view.locals = locals;
        stage.apply();
        assert_eq!(findings(stage), Vec::<String>::new());
    });
}

#[test]
fn a_network_that_the_host_is_on_too_is_named_and_its_packets_stay() {
    on_host(|stage| {
        let spaces = shop(stage);
        let [client, _, outside, _] = &spaces[..] else {
            unreachable!()
        };
        sh("ip addr add 10.0.5.200/24 dev up0");
        outside.sh("ip addr add 10.0.5.5/24 dev eth0");
        outside.serve("leak", 80);
        stage.apply();
        let wanted = "the subnet 10.0.5.0/24 is that of up0 on this device too: make the \
                      network anew with another --subnet, or this device's network with another";
        assert_eq!(stage.rivals(), [wanted]);
        assert!(findings(stage).contains(&wanted.to_owned()));
        assert_eq!(client.ask("10.0.5.5:80"), Err(ErrorKind::ConnectionRefused));
        sh("ip addr del 10.0.5.200/24 dev up0");
        stage.apply();
        assert_eq!(stage.rivals(), Vec::<String>::new());
        assert_eq!(findings(stage), Vec::<String>::new());
    });
}

#[test]
fn addresses_that_a_route_leads_elsewhere_are_named_and_the_others_are_reached() {
    on_host(|stage| {
        stage.site.network(5, &["10.0.5.0/24"]);
        for addr in ["10.0.5.4", "10.0.5.9"] {
            stage.site.task(50, 5, addr, 2);
        }
        let client = stage.container(5, "10.0.5.3");
        let (outside, far) = (stage.outside(), stage.tunnel(&["10.0.5.4", "10.0.5.9"]));
        outside.sh("ip addr add 10.0.5.4/32 dev lo");
        outside.serve("leak", 80);
        far.serve("far", 80);
        stage.apply();
        assert_eq!(client.ask("10.0.5.4:80"), Ok("far 10.0.5.3".to_owned()));

        sh("ip route add 10.0.5.4/31 via 192.0.2.9");
        assert!(stage.hears().ways);
        stage.apply();
        let wanted = "10.0.5.4/31 of the subnet 10.0.5.0/24 is led to up0 on this device: no \
                      container has such an address here or is reached at one from here; \
                      remove that route, or make the network anew with another --subnet";
        assert_eq!(stage.rivals(), [wanted]);
        assert!(findings(stage).contains(&wanted.to_owned()));
        assert_eq!(client.ask("10.0.5.4:80"), Err(ErrorKind::ConnectionRefused));
        assert_eq!(client.ask("10.0.5.9:80"), Ok("far 10.0.5.3".to_owned()));

        sh("ip route del 10.0.5.4/31");
        assert!(stage.hears().ways);
        stage.apply();
        assert_eq!(stage.rivals(), Vec::<String>::new());
        assert_eq!(client.ask("10.0.5.4:80"), Ok("far 10.0.5.3".to_owned()));
    });
}

#[test]
fn a_healthy_host_has_no_findings() {
    on_host(|stage| {
        let _spaces = shop(stage);
        stage.apply();
        assert_eq!(findings(stage), Vec::<String>::new());
    });
}

#[test]
fn what_is_missing_is_named() {
    on_host(|stage| {
        let _spaces = shop(stage);
        sh("iptables -N DOCKER-USER");
        stage.apply();
        sh("nft delete element inet swarmlet vip4 { 10.0.5.2 } &&
            nft add element inet swarmlet vips4 { 10.0.5.77 } &&
            nft flush chain inet swarmlet forward_tunnel &&
            nft add chain inet swarmlet mine &&
            ip route del 10.0.5.3 && ip rule del priority 21367 &&
            ip addr del 169.254.1.1/32 dev lo &&
            echo 0 > /proc/sys/net/ipv4/ip_forward");
        let found = findings(stage);
        let wanted = [
            "address 169.254.1.1 dev lo is missing",
            "route 10.0.5.3/32 dev swv00005x3 is missing",
            "rule fwmark 0x53770000 lookup 1400307712 (V4) is missing",
            "net.ipv4.ip_forward is 0, not 1",
            "iptables -A DOCKER-USER -i swv0000+ -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT is missing",
            "iptables -A DOCKER-USER -i swv0000+ -j ACCEPT is missing",
            "iptables -A DOCKER-USER -o swv0000+ -j ACCEPT is missing",
            "iptables -A DOCKER-USER -i swl0 -j ACCEPT is missing",
            "iptables -A DOCKER-USER -o swl0 -j ACCEPT is missing",
            "nftables: chain forward_tunnel differs: 0 rules, not the 8 wanted",
            "nftables: map vip4 lacks 10.0.5.2 : goto vip_10.0.5.2",
            "nftables: set vips4 has 10.0.5.77 too much",
            "nftables: chain mine is not wanted",
        ];
        assert_eq!(found, wanted);
    });
}

#[test]
fn whoever_asked_for_a_name_is_not_too_much() {
    on_host(|stage| {
        let _spaces = shop(stage);
        stage.apply();
        sh("nft add element inet swarmlet askers4 { 10.0.5.2 }");
        assert_eq!(findings(stage), [""; 0]);
    });
}

#[test]
fn a_host_without_anything_of_ours_is_told_so() {
    on_host(|stage| {
        stage.site.network(5, &["10.0.5.0/24"]);
        let found = findings(stage);
        assert!(
            found.contains(&"interface swl0 is missing".to_owned()),
            "{found:?}"
        );
        assert!(found.contains(&"nftables: table inet swarmlet is missing".to_owned()));
    });
}

#[test]
fn what_someone_takes_away_is_heard_of_and_brought_back() {
    on_host(|stage| {
        let _spaces = shop(stage);
        stage.apply();
        let thefts = [
            "nft flush ruleset",
            "nft delete table inet swarmlet",
            "nft flush chain inet swarmlet forward_tunnel",
            "nft delete element inet swarmlet vip4 { 10.0.5.2 }",
            "ip route del 10.0.5.3",
            "ip route flush table 1400307712",
            "ip rule del priority 21367",
            "ip addr del 169.254.1.1/32 dev lo",
        ];
        for theft in thefts {
            sh(theft);
            assert_ne!(findings(stage), Vec::<String>::new(), "{theft}");
            assert!(stage.hears_disturbance(), "{theft}");
            stage.apply();
            assert_eq!(findings(stage), Vec::<String>::new(), "{theft}");
        }
    });
}

#[test]
fn what_was_taken_before_a_change_is_brought_back_by_the_change() {
    on_host(|stage| {
        let _spaces = shop(stage);
        stage.apply();
        sh("nft flush ruleset");
        assert_ne!(stage.apply().rules, 0);
        assert_eq!(findings(stage), Vec::<String>::new());
    });
}

#[test]
fn what_is_taken_amid_a_change_is_brought_back_after_it() {
    on_host(|stage| {
        let _spaces = shop(stage);
        stage.apply();
        let thefts = [
            "nft flush ruleset",
            "nft delete element inet swarmlet vip4 { 10.0.5.2 }",
            "ip route del 10.0.5.3",
            "ip route flush table 1400307712",
            "ip rule del priority 21367",
        ];
        for theft in thefts {
            stage.amid_a_change(|| drop(sh(theft)));
            assert!(stage.hears_disturbance(), "{theft}");
            stage.apply();
            assert_eq!(findings(stage), Vec::<String>::new(), "{theft}");
        }
        stage.amid_a_change(|| {});
        assert!(stage.is_undisturbed());
    });
}

#[test]
fn a_containers_own_route_disturbs_nobody() {
    on_host(|stage| {
        let _spaces = shop(stage);
        stage.apply();
        let _new = stage.container(5, "10.0.5.77");
        let veth = super::stage::veth("10.0.5.77");
        sh(&format!("ip route add 10.0.5.77 dev {veth}"));
        assert!(stage.is_undisturbed());
    });
}

#[test]
fn changes_of_the_engines_firewall_are_heard_of() {
    on_host(|stage| {
        let heard = |stage: &mut Stage, line: &str| {
            sh(line);
            stage.hears().engine
        };
        stage.site.network(5, &["10.0.5.0/24"]);
        stage.apply();
        assert!(heard(stage, "iptables -N DOCKER-USER"));
        stage.pass_engine();
        sh(
            "iptables -N other && iptables -A other -j RETURN && iptables -F other && iptables -X other",
        );
        assert!(heard(stage, "iptables -F DOCKER-USER"));
        stage.pass_engine();
        stage.apply();
        assert!(heard(stage, "nft flush ruleset"), "with ours");
        assert!(crate::host::hears_engine());
        sh("iptables-legacy -N DOCKER-USER");
        assert!(!crate::host::hears_engine());
    });
}

#[test]
fn neither_our_own_changes_nor_those_of_others_are_a_disturbance() {
    on_host(|stage| {
        let _spaces = shop(stage);
        stage.apply();
        stage.site.gone("10.0.5.4");
        stage.site.view.locals.remove(&crate::kit::ip("10.0.5.3"));
        stage.apply();
        sh("nft add table inet other && nft flush table inet other && nft delete table inet other &&
            ip route add 192.0.3.0/24 dev lo && ip route del 192.0.3.0/24 &&
            ip addr add 192.0.4.1/32 dev lo && ip addr del 192.0.4.1/32 dev lo");
        assert!(stage.is_undisturbed());
    });
}

#[test]
fn dockers_firewall_lets_our_packets_pass() {
    on_host(|stage| {
        sh(
            "iptables -N DOCKER-USER && iptables -A FORWARD -j DOCKER-USER && iptables -P FORWARD DROP",
        );
        stage.site.network(5, &["10.0.5.0/24"]);
        let (a, b) = (
            stage.container(5, "10.0.5.3"),
            stage.container(5, "10.0.5.4"),
        );
        stage.apply();
        serve("host", 80);
        a.serve("a", 80);
        assert!(b.ask("10.0.5.3:80").is_err());
        stage.pass_engine();
        stage.pass_engine();
        assert_eq!(b.ask("10.0.5.3:80"), Ok("a 10.0.5.4".to_owned()));
        assert_eq!(sh("iptables -S DOCKER-USER").lines().count(), 6);
    });
}

#[test]
fn containers_reach_nothing_on_the_engines_bridges_that_did_not_ask_them() {
    on_host(|stage| {
        sh(
            "iptables -N DOCKER-USER && iptables -A FORWARD -j DOCKER-USER &&
            iptables -A DOCKER-USER -s 203.0.113.0/24 -j DROP &&
            iptables -A DOCKER-USER -j RETURN &&
            iptables -N DOCKER-ISOLATION-STAGE-2 &&
            iptables -A DOCKER-ISOLATION-STAGE-2 -o up0 -j DROP",
        );
        stage.site.network(1, &["10.0.0.0/24"]).ingress = true;
        stage.site.service(60, 1, &[]).ports = BTreeSet::from([tcp(8080, 80)]);
        stage.site.network(5, &["10.0.5.0/24"]);
        let task = stage.task(60, 1, "10.0.0.3");
        let client = stage.container(5, "10.0.5.3");
        let bridged = stage.outside();
        stage.apply();
        bridged.serve("bridged", 80);
        task.serve("task", 80);
        assert!(client.ask("192.0.2.9:80").is_ok());
        stage.pass_engine();
        assert!(client.ask("192.0.2.9:80").is_err());
        let answer = bridged.ask("192.0.2.1:8080");
        assert_eq!(answer, Ok("task 192.0.2.9".to_owned()));
        let rules = sh("iptables -S DOCKER-USER");
        let rules: Vec<_> = rules.lines().collect();
        assert_eq!(rules[1], "-A DOCKER-USER -s 203.0.113.0/24 -j DROP");
        assert_eq!(rules[8], "-A DOCKER-USER -j RETURN");
    });
}

#[test]
fn who_turns_forwarding_on_closes_the_firewall_as_docker_would() {
    on_host(|stage| {
        let policy = || sh("iptables -S FORWARD").lines().next().map(str::to_owned);
        let (open, closed) = ("-P FORWARD ACCEPT", "-P FORWARD DROP");
        sh("echo 0 > /proc/sys/net/ipv4/ip_forward");
        stage.site.network(5, &["10.0.5.0/24"]);
        stage.apply();
        stage.pass_engine();
        // There is no engine that would let anything pass.
        assert_eq!(policy().as_deref(), Some(open));
        sh("iptables -N DOCKER-USER && iptables -A FORWARD -j DOCKER-USER");
        stage.pass_engine();
        assert_eq!(policy().as_deref(), Some(closed));
        // Once: it is the administrator's from then on.
        sh("iptables -P FORWARD ACCEPT");
        stage.apply();
        stage.pass_engine();
        assert_eq!(policy().as_deref(), Some(open));
    });
}

/// The kernel's own list is compared with that of rules loaded at once.
#[test]
fn changes_in_sequence_leave_what_the_whole_would() {
    on_host(|stage| {
        let mut dice = 1u32;
        for turn in 0..120 {
            dice = dice.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
            stage.site.shake(dice.rotate_right(9));
            stage.apply();
            if turn % 8 == 7 {
                let mut found = findings(stage);
                found.retain(|finding| finding.starts_with("nftables"));
                assert_eq!(found, Vec::<String>::new(), "turn {turn}");
            }
        }
    });
}

#[test]
fn what_nft_has_done_is_heard_of_before_it_ends() {
    on_host(|stage| {
        assert!(stage.hears_commit("add table inet other"));
        assert!(stage.hears_commit("delete table inet other"));
    });
}

#[test]
fn one_endpoint_of_a_thousand_changes_by_one_small_transaction() {
    on_host(|stage| {
        stage.site = crate::kit::Site::large();
        let whole = stage.apply().rules;
        for turn in 0..4 {
            stage.site.endpoint(7, 7, "10.0.7.21", 9, turn % 2 == 1);
            let (text, took) = stage.transaction();
            println!("whole {whole} B; change {} B in {took:?}", text.len());
            assert!(!text.is_empty() && text.len() < 400, "{text}");
        }
    });
}
