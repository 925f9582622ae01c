//! `network doctor`.

use std::time::Duration;

use super::human::{natural_order, shorten};
use super::table::narrow_table;
use crate::api::dto::{DoctorDevice, DoctorPair, DoctorPath, DoctorProbes, NetworkDoctor};

/// A device's name in a table that must fit into 80 columns.
const NAME: usize = 14;

/// The pairs, what was dropped, and what is wrong.
pub fn doctor_page(doctor: &NetworkDoctor) -> String {
    let mut page = String::new();
    if !doctor.alone.is_empty() {
        let why = &doctor.alone;
        page.push_str(&format!("Only this device was asked: {why}\n\n"));
    }
    if doctor.left_out > 0 {
        page.push_str(&format!(
            "{} more devices were not asked; name a network to ask those on it first.\n\n",
            doctor.left_out
        ));
    }
    match doctor.pairs.is_empty() {
        true => page.push_str("No two of these devices have containers on one network.\n"),
        false => page.push_str(&pairs(&doctor.pairs)),
    }
    let mut apart: Vec<String> = doctor.devices.iter().filter_map(apart).collect();
    apart.sort_by(|a, b| natural_order(a, b));
    if !apart.is_empty() {
        page.push_str(&format!("\nData path addresses:\n{}", apart.concat()));
    }
    let dropped: String = doctor.devices.iter().filter_map(dropped).collect();
    if !dropped.is_empty() {
        page.push_str(&format!("\nPackets dropped:\n{dropped}"));
    }
    if !doctor.problems.is_empty() {
        page.push_str("\nProblems:\n");
    }
    for problem in &doctor.problems {
        let problem: String = problem
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        page.push_str(&format!("  {problem}\n"));
    }
    page
}

/// The last line: `None` where all is well.
pub fn verdict(doctor: &NetworkDoctor) -> Option<String> {
    match doctor.problems.len() {
        0 => None,
        1 => Some("1 problem was found".into()),
        count => Some(format!("{count} problems were found")),
    }
}

fn pairs(pairs: &[DoctorPair]) -> String {
    let mut pairs: Vec<&DoctorPair> = pairs.iter().collect();
    pairs.sort_by(|a, b| {
        let [a, b] = [a, b].map(|pair| &pair.hostnames);
        natural_order(&a[0], &b[0]).then_with(|| natural_order(&a[1], &b[1]))
    });
    let cells = pairs.into_iter().map(row);
    narrow_table(
        &[
            "DEVICE", "PEER", "STATE", "RTT", "LOSS", "MTU", "SENT", "RECEIVED",
        ],
        &cells.collect::<Vec<_>>(),
    )
}

fn row(pair: &DoctorPair) -> Vec<String> {
    let paths = || {
        let views = pair.seen.iter().flatten();
        views.filter_map(|view| view.path.as_ref())
    };
    let probes: Vec<DoctorProbes> = pair
        .seen
        .iter()
        .flatten()
        .flat_map(|view| [view.small_probes, view.large_probes])
        .flatten()
        .collect();
    let state = match paths().map(|path| path.established_for).max() {
        Some(time) => format!("up {}", span(time)),
        None => "down".into(),
    };
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let (sent, received) = traffic(pair).unzip();
    vec![
        shorten(&pair.hostnames[0], NAME),
        shorten(&pair.hostnames[1], NAME),
        state,
        or_none(round_trip(&probes, paths()).map(time)),
        or_none(loss(&probes)),
        or_none(
            paths()
                .map(|path| path.mtu)
                .min()
                .map(|mtu| mtu.to_string()),
        ),
        or_none(sent.map(count)),
        or_none(received.map(count)),
    ]
}

/// The mean of all probes that were answered, or what QUIC has seen last.
fn round_trip<'a>(
    probes: &[DoctorProbes],
    paths: impl Iterator<Item = &'a DoctorPath>,
) -> Option<u64> {
    let answered: u64 = probes.iter().map(|probes| probes.answered).sum();
    let sum: u64 = (probes.iter())
        .map(|probes| probes.mean.saturating_mul(probes.answered))
        .fold(0, u64::saturating_add);
    match sum.checked_div(answered) {
        Some(mean) => Some(mean),
        None => paths.map(|path| path.round_trip).min(),
    }
}

/// Of the probes and their echoes, on either way.
fn loss(probes: &[DoctorProbes]) -> Option<String> {
    let sent: u64 = probes.iter().map(|probes| probes.sent).sum();
    let answered: u64 = probes.iter().map(|probes| probes.answered).sum();
    let lost = 100.0 * sent.saturating_sub(answered) as f64 / sent as f64;
    (sent > 0).then(|| format!("{lost:.0}%"))
}

/// Packets from the first to the second, and back, as the first counts them if
/// it says so.
fn traffic(pair: &DoctorPair) -> Option<(u64, u64)> {
    let path = |side: usize| pair.seen[side].as_ref()?.path.as_ref();
    let first = path(0).map(|path| (path.sent_datagrams, path.received_datagrams));
    first.or_else(|| path(1).map(|path| (path.received_datagrams, path.sent_datagrams)))
}

fn apart(device: &DoctorDevice) -> Option<String> {
    let addr = &device.data_path_addr;
    (!addr.is_empty()).then(|| format!("  {}: {addr}\n", device.hostname))
}

fn dropped(device: &DoctorDevice) -> Option<String> {
    let told = device.dropped.iter().filter_map(|(reason, count)| {
        let why = match reason.as_str() {
            "MalformedSent" => "malformed, from containers",
            "MalformedReceived" => "malformed, from peers",
            "UnknownReceived" => "from peers, for nobody here",
            "ForeignSent" => "from containers, of networks or with addresses not theirs",
            "ForeignReceived" => "from peers, of networks or with addresses not theirs",
            "Unreachable" => "for devices that are not reached",
            "Congested" => "for peers that had too much to send already",
            "TooBig" => "too big for the path; their senders were told",
            "RefusedByKernel" => "refused by the kernel",
            // The kernel itself sends such: it looks for routers and neighbours.
            _ => return None,
        };
        Some(format!("  {}: {count} {why}\n", device.hostname))
    });
    let told: String = told.collect();
    (!told.is_empty()).then_some(told)
}

/// `0.42ms`, `12ms`, `1.2s`.
fn time(nanos: u64) -> String {
    let millis = nanos as f64 / 1e6;
    match millis {
        ..10.0 => format!("{millis:.2}ms"),
        ..1000.0 => format!("{millis:.0}ms"),
        _ => format!("{:.1}s", millis / 1e3),
    }
}

/// In one unit: `12s`, `5m`, `3h`, `40d`.
fn span(nanos: u64) -> String {
    let seconds = Duration::from_nanos(nanos).as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// `950`, `12.3k`, `4.5M`, `7.8G`.
fn count(number: u64) -> String {
    let of = |unit: f64, name: char| format!("{:.1}{name}", number as f64 / unit);
    match number {
        0..10_000 => number.to_string(),
        10_000..999_950 => of(1e3, 'k'),
        999_950..999_950_000 => of(1e6, 'M'),
        _ => of(1e9, 'G'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::dto::DoctorView;

    fn view(mean: u64, answered: u64) -> Option<DoctorView> {
        Some(DoctorView {
            wanted: true,
            path: Some(DoctorPath {
                address: "192.168.178.101:4789".into(),
                established_for: 300_000_000_000,
                round_trip: 900_000,
                mtu: 1_400,
                sent_datagrams: 1_234_567,
                received_datagrams: 999_999,
                ..DoctorPath::default()
            }),
            small_probes: Some(DoctorProbes {
                sent: 10,
                answered,
                mean,
                ..DoctorProbes::default()
            }),
            ..DoctorView::default()
        })
    }

    fn pair(names: [&str; 2], seen: [Option<DoctorView>; 2]) -> DoctorPair {
        DoctorPair {
            hostnames: names.map(str::to_owned),
            connected: seen.iter().any(Option::is_some),
            seen,
            ..DoctorPair::default()
        }
    }

    #[test]
    fn every_pair_is_a_line_within_80_columns() {
        let doctor = NetworkDoctor {
            pairs: vec![
                pair(
                    ["node-10", "a-hostname-that-is-long"],
                    [view(412_000, 10), view(612_000, 9)],
                ),
                pair(["node-9", "node-10"], [None, view(0, 0)]),
                pair(["a-hostname-that-is-longer", "node-11"], [None, None]),
            ],
            devices: vec![DoctorDevice {
                hostname: "node-9".into(),
                dropped: [
                    ("ForeignReceived".to_owned(), 7),
                    ("UnknownSent".to_owned(), 2),
                ]
                .into(),
                ..DoctorDevice::default()
            }],
            problems: vec!["node-9 does not answer: it is down".into()],
            ..NetworkDoctor::default()
        };
        let page = doctor_page(&doctor);
        insta::assert_snapshot!(page, @"
        DEVICE          PEER            STATE  RTT     LOSS  MTU   SENT  RECEIVED
        a-hostname-th…  node-11         down   -       -     -     -     -
        node-9          node-10         up 5m  0.90ms  100%  1400  1.0M  1.2M
        node-10         a-hostname-th…  up 5m  0.51ms  5%    1400  1.2M  1.0M

        Packets dropped:
          node-9: 7 from peers, of networks or with addresses not theirs

        Problems:
          node-9 does not answer: it is down
        ");
        assert!(page.lines().all(|line| line.chars().count() <= 80));
        assert_eq!(verdict(&doctor).as_deref(), Some("1 problem was found"));
    }

    #[test]
    fn who_was_asked_alone_says_so() {
        let doctor = NetworkDoctor {
            alone: "The swarm does not have a leader.".into(),
            left_out: 0,
            ..NetworkDoctor::default()
        };
        let page = doctor_page(&doctor);
        assert!(
            page.starts_with("Only this device was asked: The swarm does not have a leader.\n")
        );
        assert!(page.contains("No two of these devices"), "{page}");
        assert_eq!(verdict(&doctor), None);
    }

    #[test]
    fn amounts_and_times_are_short() {
        assert_eq!(count(9_999), "9999");
        assert_eq!(count(999_999), "1.0M");
        assert_eq!(count(12_345), "12.3k");
        assert_eq!(count(7_800_000_000), "7.8G");
        assert_eq!(time(412_000), "0.41ms");
        assert_eq!(time(12_000_000), "12ms");
        assert_eq!(time(1_230_000_000), "1.2s");
        assert_eq!(span(3_600_000_000_000), "60m");
    }
}
