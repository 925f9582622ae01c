//! `members` and `events`.

use std::collections::BTreeMap;

use super::human::{natural_order, short_id, shorten};
use super::table::narrow_table;
use crate::api::dto::{Member, SwarmEvent};

/// A device's name in a table that must fit into 80 columns.
const NAME: usize = 12;

/// Those that are gone last, then by name.
pub fn member_table(members: &[Member]) -> String {
    let names: BTreeMap<&str, &str> = members
        .iter()
        .map(|member| (member.id.as_str(), name(member)))
        .collect();
    let mut members: Vec<&Member> = members.iter().collect();
    let gone = |member: &Member| matches!(member.state.as_str(), "dead" | "left");
    members.sort_by(|a, b| {
        gone(a)
            .cmp(&gone(b))
            .then_with(|| natural_order(name(a), name(b)))
            .then_with(|| a.id.cmp(&b.id))
    });
    let cells = members.iter().map(|member| {
        let mark = if member.is_self { " *" } else { "" };
        let through = names.get(member.through.as_str()).copied();
        vec![
            format!("{}{mark}", shorten(name(member), NAME)),
            format!("{} {}", member.state, span(member.state_for)),
            member.incarnation.to_string(),
            member.round_trip.map_or("-".into(), millis),
            match member.last_heard {
                _ if member.is_self => "-".into(),
                Some(ago) => span(ago),
                None => "never".into(),
            },
            shorten(through.unwrap_or(short_id(&member.through)), NAME),
            member.address.clone(),
        ]
    });
    narrow_table(
        &[
            "NAME",
            "STATE",
            "INCARNATION",
            "RTT",
            "HEARD",
            "THROUGH",
            "ADDRESS",
        ],
        &cells.collect::<Vec<_>>(),
    )
}

fn name(member: &Member) -> &str {
    match member.hostname.as_str() {
        "" => short_id(&member.id),
        name => name,
    }
}

/// In milliseconds.
fn millis(nanos: u64) -> String {
    format!("{:.1}ms", nanos as f64 / 1e6)
}

/// In one unit, as short as can be: `0.3s`, `12s`, `5m`, `3h`, `40d`.
fn span(nanos: u64) -> String {
    let seconds = nanos / 1_000_000_000;
    match seconds {
        0..10 => format!("{:.1}s", nanos as f64 / 1e9),
        10..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A line of `events`.
pub fn event_line(event: &SwarmEvent) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(event.time.0.0))
        .map(|time| time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string())
        .unwrap_or_default();
    let text = format!("{} {}", event.hostname, event.message);
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    format!("{time}  {:<9}  {text}\n", event.kind)
}

#[cfg(test)]
mod tests {
    use services::Timestamp;

    use super::*;
    use crate::api::dto::Time;

    fn member(name: &str, state: &str) -> Member {
        Member {
            id: format!("{name}-5jb6meogwv14ftkcyq1v1"),
            hostname: name.into(),
            state: state.into(),
            incarnation: 1_763_712_345_678,
            state_for: 90_000_000_000,
            round_trip: Some(412_000),
            last_heard: Some(210_000_000),
            through: "direct".into(),
            address: "192.168.178.101:2377".into(),
            ..Member::default()
        }
    }

    #[test]
    fn what_a_device_believes_fits_into_80_columns() {
        let me = Member {
            is_self: true,
            through: "self".into(),
            round_trip: None,
            last_heard: None,
            ..member("h10", "alive")
        };
        let dead = Member {
            state_for: 3_000_000_000_000,
            last_heard: Some(3_001_000_000_000),
            round_trip: None,
            through: "watchers".into(),
            ..member("h1", "dead")
        };
        let other = Member {
            through: me.id.clone(),
            ..member("h2", "suspect")
        };
        let text = member_table(&[me, dead, other]);
        insta::assert_snapshot!(text, @"
        NAME   STATE        INCARNATION    RTT    HEARD  THROUGH   ADDRESS
        h2     suspect 90s  1763712345678  0.4ms  0.2s   h10       192.168.178.101:2377
        h10 *  alive 90s    1763712345678  -      -      self      192.168.178.101:2377
        h1     dead 50m     1763712345678  -      50m    watchers  192.168.178.101:2377
        ");
        assert!(text.lines().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn an_event_is_one_line() {
        let event = SwarmEvent {
            time: Time(Timestamp(1_795_215_742_201_842_140)),
            kind: "node".into(),
            node_id: "cyq1v1261ljhb7meogwv14ftk".into(),
            hostname: "h3".into(),
            message: "is down: not heard by h1\nand another node for 0.9 s".into(),
        };
        insta::assert_snapshot!(
            event_line(&event),
            @"2026-11-20T23:02:22.201Z  node       h3 is down: not heard by h1 and another node for 0.9 s"
        );
    }
}
