use hickory_proto::rr::{DNSClass, RecordType};
use proptest::prelude::*;

use super::super::answer::{Answer, TASK_TTL, VIP_TTL, answer};
use super::super::zone::task_text;
use super::*;

fn ask(from: &str, name: &str, wanted: RecordType) -> String {
    let zone = zone();
    match answer(&zone, ip(from), &question(name, wanted), 0) {
        Answer::Addresses(mut addrs, ttl) => {
            addrs.sort();
            let addrs: Vec<_> = addrs.iter().map(ToString::to_string).collect();
            format!("{} for {ttl} s", addrs.join(" "))
        }
        Answer::Name(name) => name.to_string(),
        Answer::Nothing => "nothing".to_owned(),
        Answer::NoSuchName => "no such name".to_owned(),
        Answer::Refused => "refused".to_owned(),
        Answer::Elsewhere(Upstream::Host) => "the host's servers".to_owned(),
        Answer::Elsewhere(other) => format!("{other:?}"),
    }
}

fn a(from: &str, name: &str) -> String {
    ask(from, name, RecordType::A)
}

const OUTSIDE: &str = "the host's servers";

#[test]
fn a_service_is_its_vip() {
    assert_eq!(a(PLAIN, "web"), "127.10.1.2 for 30 s");
    assert_eq!(ask(PLAIN, "web", RecordType::AAAA), "fd00:1::2 for 30 s");
    assert_eq!(
        ask(PLAIN, "web", RecordType::ANY),
        "127.10.1.2 fd00:1::2 for 30 s"
    );
}

#[test]
fn a_service_without_vip_is_its_ready_tasks() {
    assert_eq!(a(BOTH, "db"), "127.10.2.21 127.10.2.22 for 1 s");
}

#[test]
fn tasks_of_a_service_are_those_that_are_ready() {
    let ready = "127.10.1.11 127.10.1.12 for 1 s";
    assert_eq!(a(PLAIN, "tasks.web"), ready);
    assert_eq!(a(PLAIN, "tasks.www"), ready);
    assert_eq!(a(PLAIN, "tasks.web.front"), ready);
    assert_eq!(
        ask(PLAIN, "tasks.web", RecordType::AAAA),
        "fd00:1::11 for 1 s"
    );
    assert_eq!(a(PLAIN, "tasks.cache"), "nothing");
}

#[test]
fn an_alias_is_all_the_services_that_have_it() {
    assert_eq!(a(PLAIN, "www"), "127.10.1.2 for 30 s");
    assert_eq!(a(PLAIN, "shared"), "127.10.1.2 127.10.1.3 for 30 s");
    assert_eq!(a(BOTH, "data.base"), "127.10.2.21 127.10.2.22 for 1 s");
}

#[test]
fn a_container_of_no_service_is_called_as_its_user_says() {
    assert_eq!(a(PLAIN, "probe"), "127.10.1.60 for 1 s");
    assert_eq!(a(PLAIN, "probe.front"), "127.10.1.60 for 1 s");
    assert_eq!(ask(PLAIN, "probe", RecordType::AAAA), "fd00:1::60 for 1 s");
    assert_eq!(a(PLAIN, "debug"), "127.10.1.60 127.10.1.61 for 1 s");
    assert_eq!(a(ISOLATED, "probe"), "refused");
    let reverse = |host: u8| {
        let name = format!("{host}.1.10.127.in-addr.arpa");
        ask(PLAIN, &name, RecordType::PTR)
    };
    assert_eq!(reverse(60), "probe.front.");
    assert_eq!(reverse(61), "other.front.");
}

#[test]
fn no_container_takes_the_place_of_a_service() {
    assert_eq!(a(PLAIN, "web"), "127.10.1.2 for 30 s");
    assert_eq!(a(PLAIN, "web.front"), "127.10.1.2 for 30 s");
    assert_eq!(a(PLAIN, "tasks.www"), "127.10.1.11 127.10.1.12 for 1 s");
    // Nor on a network that comes before the service's.
    let mut view = view();
    let thief = container(ANTE, 301, "127.10.4.2", &["db"]);
    view.endpoints.insert(thief);
    let mut directory = Directory::clone(&view.directory);
    let ante = network("ante", &["127.10.4.0/24"]);
    directory.networks.insert(ANTE, ante);
    view.directory = Arc::new(directory);
    view.locals.insert(ip("127.10.4.50"), local(ANTE, "a"));
    let zone = zone_of(&view, Vec::new());
    let answered = answer(&zone, ip(BOTH), &question("db", RecordType::A), 0);
    let Answer::Addresses(addrs, TASK_TTL) = answered else {
        panic!("{answered:?}");
    };
    assert!(!addrs.contains(&ip("127.10.4.2")), "{addrs:?}");
}

#[test]
fn a_stacks_service_has_its_long_its_short_and_its_dotted_name() {
    for name in ["shop_cache", "cache", "cache.shop", "cache.shop.front"] {
        assert_eq!(a(PLAIN, name), "127.10.1.3 for 30 s", "{name}");
    }
    assert_eq!(a(PLAIN, "shop.cache"), OUTSIDE);
}

#[test]
fn a_name_can_say_its_network() {
    assert_eq!(a(BOTH, "web.front"), "127.10.1.2 for 30 s");
    assert_eq!(a(BOTH, "log.front"), "127.10.1.4 for 30 s");
    assert_eq!(a(BOTH, "log.back"), "127.10.2.4 for 30 s");
    assert_eq!(a(BOTH, "web.back"), OUTSIDE);
    assert_eq!(a(BOTH, "webfront"), OUTSIDE);
    assert_eq!(a(BOTH, "front"), OUTSIDE);
}

#[test]
fn a_name_on_several_networks_is_that_of_the_first_by_name() {
    assert_eq!(a(BOTH, "log"), "127.10.2.4 for 30 s");
    assert_eq!(a("127.10.2.50", "log"), "127.10.2.4 for 30 s");
    assert_eq!(a(PLAIN, "log"), "127.10.1.4 for 30 s");
}

#[test]
fn a_container_asks_for_all_its_networks_by_any_of_its_addresses() {
    assert_eq!(a("127.10.2.50", "web"), "127.10.1.2 for 30 s");
    assert_eq!(a(BOTH, "db"), "127.10.2.21 127.10.2.22 for 1 s");
}

#[test]
fn a_container_never_learns_of_a_network_that_it_is_not_on() {
    let task = task_text(131);
    for name in ["vault", "tasks.vault", "vault.secret", "db", "data.base"] {
        assert_eq!(a(PLAIN, name), OUTSIDE, "{name}");
    }
    assert_eq!(a(PLAIN, &format!("vault.1.{task}")), OUTSIDE);
    for addr in ["2.3.10.127", "31.3.10.127", "99.3.10.127"] {
        let reverse = format!("{addr}.in-addr.arpa");
        assert_eq!(ask(PLAIN, &reverse, RecordType::PTR), OUTSIDE, "{addr}");
    }
}

#[test]
fn the_ingress_network_has_no_names() {
    assert_eq!(a(PUBLIC, "web"), OUTSIDE);
    let reverse = "2.0.10.127.in-addr.arpa";
    assert_eq!(ask(PUBLIC, reverse, RecordType::PTR), OUTSIDE);
}

#[test]
fn strangers_are_refused() {
    for addr in ["127.10.1.99", "192.0.2.1", "::1"] {
        assert_eq!(a(addr, "web"), "refused");
        assert_eq!(a(addr, "example.org"), "refused");
    }
}

#[test]
fn an_isolated_container_asks_nothing_of_the_world() {
    assert_eq!(a(ISOLATED, "vault"), "127.10.3.2 for 30 s");
    assert_eq!(a(ISOLATED, "example.org"), "refused");
}

#[test]
fn a_container_with_servers_of_its_own_has_those_asked() {
    assert_eq!(a(PICKY, "web"), "127.10.1.2 for 30 s");
    assert_eq!(a(PICKY, "example.org"), "Servers([192.0.2.53:53])");
}

#[test]
fn letters_may_be_of_any_case() {
    assert_eq!(a(PLAIN, "wEB.fRONT"), "127.10.1.2 for 30 s");
    assert_eq!(a(PLAIN, "TASKS.Web"), a(PLAIN, "tasks.web"));
    let reverse = "2.1.10.127.IN-addr.ARPA";
    assert_eq!(ask(PLAIN, reverse, RecordType::PTR), "web.front.");
}

#[test]
fn a_known_name_has_nothing_of_other_types_and_is_asked_nowhere() {
    for wanted in [
        RecordType::TXT,
        RecordType::MX,
        RecordType::HTTPS,
        RecordType::SRV,
    ] {
        assert_eq!(ask(PLAIN, "web", wanted), "nothing");
    }
    assert_eq!(ask(BOTH, "db", RecordType::AAAA), "nothing");
}

#[test]
fn a_task_has_a_name_even_before_it_is_ready() {
    let (ready, starting) = (task_text(101), task_text(103));
    assert_eq!(a(PLAIN, &format!("web.1.{ready}")), "127.10.1.11 for 1 s");
    assert_eq!(
        a(PLAIN, &format!("Web.3.{starting}.front")),
        "127.10.1.13 for 1 s"
    );
    let global = format!("web.{}.{ready}", NodeId::from(7));
    assert_eq!(a(PLAIN, &global), "127.10.1.11 for 1 s");
    let six = format!("web.1.{ready}");
    assert_eq!(ask(PLAIN, &six, RecordType::AAAA), "fd00:1::11 for 1 s");
}

#[test]
fn the_name_of_a_task_that_is_gone_is_no_name() {
    let (gone, other) = (task_text(999), task_text(101));
    assert_eq!(a(PLAIN, &format!("web.1.{gone}")), "no such name");
    assert_eq!(a(PLAIN, &format!("web.x.{other}")), "no such name");
    let elsewhere = format!("web.{}.{other}", NodeId::from(8));
    assert_eq!(a(PLAIN, &elsewhere), "no such name");
    assert_eq!(a(PLAIN, &format!("nothing.1.{gone}")), OUTSIDE);
}

#[test]
fn an_address_has_the_name_that_leads_to_it() {
    let ptr = |from, name| ask(from, name, RecordType::PTR);
    assert_eq!(ptr(PLAIN, "2.1.10.127.in-addr.arpa"), "web.front.");
    let task = ptr(PLAIN, "11.1.10.127.in-addr.arpa");
    assert_eq!(task, format!("web.{}.front.", task_text(101)));
    assert_eq!(a(PLAIN, &task), "127.10.1.11 for 1 s");
    let six = "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa";
    assert_eq!(ptr(PLAIN, six), "web.front.");
    assert_eq!(ask(PLAIN, six, RecordType::TXT), "nothing");
    assert_eq!(ptr(PLAIN, "99.1.10.127.in-addr.arpa"), "no such name");
    assert_eq!(ptr(PLAIN, "8.8.8.8.in-addr.arpa"), OUTSIDE);
    assert_eq!(ptr(ISOLATED, "8.8.8.8.in-addr.arpa"), "refused");
}

#[test]
fn whole_zones_and_other_classes_are_refused() {
    assert_eq!(ask(PLAIN, "web", RecordType::AXFR), "refused");
    assert_eq!(ask(PLAIN, "example.org", RecordType::IXFR), "refused");
    let zone = zone();
    let mut chaos = question("version.bind", RecordType::TXT);
    chaos.set_query_class(DNSClass::CH);
    assert_eq!(answer(&zone, ip(PLAIN), &chaos, 0), Answer::Refused);
}

#[test]
fn every_task_comes_first_now_and_then() {
    let zone = zone();
    let first = |chance| match answer(&zone, ip(BOTH), &question("db", RecordType::A), chance) {
        Answer::Addresses(addrs, TASK_TTL) => addrs[0],
        other => panic!("{other:?}"),
    };
    let seconds = (0..1_000).filter(|chance| first(*chance) == ip("127.10.2.22"));
    assert!((400..600).contains(&seconds.count()));
}

#[test]
fn an_endpoint_that_is_gone_is_in_no_answer() {
    let mut view = view();
    view.endpoints.retain(|endpoint| endpoint.task != 111);
    let zone = zone_of(&view, Vec::new());
    let found = answer(&zone, ip(BOTH), &question("db", RecordType::A), 0);
    assert_eq!(found, Answer::Addresses(ips(&["127.10.2.22"]), TASK_TTL));
}

#[test]
fn a_container_that_is_gone_is_a_stranger() {
    let mut view = view();
    view.locals.remove(&ip(PLAIN));
    let zone = zone_of(&view, Vec::new());
    assert!(!zone.knows(ip(PLAIN)));
    let found = answer(&zone, ip(PLAIN), &question("web", RecordType::A), 0);
    assert_eq!(found, Answer::Refused);
}

/// Names that nearly are some, of all that there are.
fn names() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "web",
        "WWW",
        "tasks",
        "db",
        "data",
        "base",
        "vault",
        "log",
        "shop",
        "cache",
        "shop_cache",
        "front",
        "back",
        "secret",
        "ingress",
        "1",
        "example",
    ]);
    let task = (100u128..140).prop_map(task_text);
    let label = prop_oneof![4 => part.prop_map(str::to_owned), 1 => task];
    prop::collection::vec(label, 1..5).prop_map(|labels| labels.join("."))
}

proptest! {
    #[test]
    fn every_address_told_is_on_a_network_of_the_asker(name in names(), chance: u64) {
        let view = view();
        let table = Table::derive(&view);
        let zone = zone();
        for asker in view.locals.keys() {
            let own = table.networks_of(*asker);
            let found = answer(&zone, *asker, &question(&name, RecordType::ANY), chance);
            if let Answer::Addresses(addrs, ttl) = found {
                prop_assert!(!addrs.is_empty() && ttl <= VIP_TTL);
                for addr in addrs {
                    let network = table.subnets.network_of(addr);
                    prop_assert!(network.is_some_and(|id| own.contains(&id)), "{addr}");
                }
            }
        }
    }

    #[test]
    fn a_name_is_ours_for_every_type_or_for_none(name in names(), wanted: u16) {
        let zone = zone();
        let ours = |wanted| {
            let found = answer(&zone, ip(BOTH), &question(&name, wanted), 0);
            !matches!(found, Answer::Elsewhere(_))
        };
        let wanted = RecordType::from(wanted);
        prop_assume!(!matches!(wanted, RecordType::AXFR | RecordType::IXFR));
        prop_assert_eq!(ours(RecordType::A), ours(wanted));
    }
}
