//! What `up`, `discover` and a join without an address say.

use std::collections::{BTreeMap, BTreeSet};

use super::human::{natural_order, short_id, shorten};
use super::table::table;
use crate::api::dto::{Device, UpProgress};

pub const UP_DETACHED: &str = "Waiting for other devices of this site in the background; \
                               `swarmlet info` shows when it is part of a swarm.\n";
pub const UP_INTERRUPTED: &str =
    "The daemon goes on waiting for the devices of this site; `swarmlet leave` ends that.\n";
pub const UP_GIVEN_UP: &str = "This device does not wait for its site any more.";

/// A device's name in a table that must fit into 80 columns.
const NAME: usize = 15;
/// Of a site's tag: enough to tell sites apart.
const TAG: usize = 8;

pub fn conflict(progress: &UpProgress) -> String {
    format!(
        "{}.\nThis device joins neither. It goes on waiting, and joins as soon as one alone is left.",
        progress.message
    )
}

pub fn found_swarm(through: &str) -> String {
    format!("Found the swarm at {through}.\n")
}

/// Swarms first, the devices of each by name.
pub fn device_table(devices: &[Device]) -> String {
    let mut devices: Vec<&Device> = devices.iter().collect();
    devices.sort_by(|a, b| {
        (a.state.as_str(), a.swarm.as_str())
            .cmp(&(b.state.as_str(), b.swarm.as_str()))
            .then_with(|| natural_order(&a.hostname, &b.hostname))
    });
    let cells = devices.iter().map(|device| {
        let swarm = match (device.state.as_str(), device.swarm.as_str()) {
            ("waiting", _) => "waiting",
            (_, "") => "no answer",
            (_, swarm) => short_id(swarm),
        };
        let mark = if device.own { " *" } else { "" };
        vec![
            format!("{swarm}{mark}"),
            shorten(&device.hostname, NAME),
            device.address.clone(),
            tag(&device.site),
            device.version.clone(),
        ]
    });
    table(
        &["SWARM", "HOSTNAME", "ADDRESS", "SITE", "VERSION"],
        &cells.collect::<Vec<_>>(),
    )
}

fn tag(site: &str) -> String {
    site.chars().take(TAG).collect()
}

/// What somebody should look into.
pub fn device_warnings(devices: &[Device]) -> Vec<String> {
    if devices.iter().all(|device| device.is_self) {
        return vec![
            "No other device answers. Discovery needs the same LAN segment, multicast on UDP \
             5353, and UDP 2377; access points may isolate their clients from each other."
                .into(),
        ];
    }
    let mut sites: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for device in devices {
        if !device.site.is_empty() && !device.swarm.is_empty() {
            sites.entry(&device.site).or_default().insert(&device.swarm);
        }
    }
    let several = sites.iter().filter(|(_, swarms)| swarms.len() > 1);
    several
        .map(|(site, swarms)| {
            let names: Vec<&str> = swarms.iter().map(|swarm| short_id(swarm)).collect();
            let count = match names.len() {
                2 => "Two".to_owned(),
                count => count.to_string(),
            };
            format!(
                "{count} swarms of site {} are in reach: {}. They formed apart and are not \
                 merged. Choose one; on each device of the others run `swarmlet leave --force`, \
                 then `swarmlet up` with the site key.",
                tag(site),
                names.join(" and ")
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(hostname: &str, swarm: &str, last: u8) -> Device {
        Device {
            swarm: swarm.into(),
            hostname: hostname.into(),
            address: format!("192.168.100.{last}:2377"),
            site: "1a2b3c4d5e6f".into(),
            version: "0.1.0".into(),
            state: if swarm.is_empty() {
                "waiting"
            } else {
                "member"
            }
            .into(),
            ..Device::default()
        }
    }

    const A: &str = "qzd3k1v1261ljhb7meogwv14f";
    const B: &str = "b7meogwv14fqzd3k1v1261ljh";

    #[test]
    fn swarms_and_waiting_devices_are_listed_within_80_columns() {
        let own = Device {
            own: true,
            is_self: true,
            ..device("node-10", A, 4)
        };
        let other = Device {
            site: String::new(),
            ..device("a-hostname-that-is-long", B, 200)
        };
        let table = device_table(&[device("node-c", "", 6), own, device("node-9", A, 5), other]);
        insta::assert_snapshot!(table, @r"
        SWARM            HOSTNAME          ADDRESS                SITE       VERSION
        b7meogwv14fq     a-hostname-tha…   192.168.100.200:2377              0.1.0
        qzd3k1v1261l     node-9            192.168.100.5:2377     1a2b3c4d   0.1.0
        qzd3k1v1261l *   node-10           192.168.100.4:2377     1a2b3c4d   0.1.0
        waiting          node-c            192.168.100.6:2377     1a2b3c4d   0.1.0
        ");
        assert!(table.lines().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn two_swarms_of_one_site_are_a_warning() {
        let warnings = device_warnings(&[device("a", A, 4), device("b", B, 5)]);
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].starts_with("Two swarms of site 1a2b3c4d are in reach: "));
        assert!(warnings[0].contains("swarmlet leave --force"));
        assert!(device_warnings(&[device("a", A, 4), device("c", "", 6)]).is_empty());
    }

    #[test]
    fn who_finds_nobody_is_told_what_to_check() {
        let warnings = device_warnings(&[]);
        assert!(warnings[0].contains("UDP 5353") && warnings[0].contains("UDP 2377"));
    }
}
