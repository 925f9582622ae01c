//! `testnet ls`: every host and how it is.

use anyhow::Result;
use serde::Serialize;
use swarmlet_testnet::{Host, Power, ServiceState, Testnet};

const HEAD: [&str; 7] = [
    "TESTNET", "HOST", "ADDRESS", "CABLE", "POWER", "ENGINE", "DAEMON",
];

/// One line of the list; field names and values are those of `--json`.
#[derive(Debug, Clone, Serialize)]
struct Row {
    testnet: String,
    host: String,
    address: String,
    /// in, cut
    cable: &'static str,
    /// on, off
    power: &'static str,
    engine: ServiceRow,
    daemon: ServiceRow,
}

#[derive(Debug, Clone, Serialize)]
struct ServiceRow {
    /// ready, silent, paused, off, absent, ended (…)
    state: String,
    /// The machine's process number, while it runs.
    pid: Option<i32>,
}

/// Prints the hosts of `name`, or of all testnets.
pub fn print(name: Option<&str>, json: bool) -> Result<()> {
    let names = name.map_or_else(Testnet::names, |name| vec![name.to_owned()]);
    let mut rows = Vec::new();
    for name in names {
        let net = Testnet::open(&name)?;
        rows.extend(net.hosts().iter().map(|host| row(&name, host)));
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        print!("{}", table(&rows));
    }
    Ok(())
}

fn row(testnet: &str, host: &Host) -> Row {
    let on = host.power() == Power::On;
    let service = |service: swarmlet_testnet::Service| ServiceRow {
        state: match service.state() {
            Ok(ServiceState::Running { .. }) if service.answers() => "ready".into(),
            Ok(ServiceState::Running { .. }) => "silent".into(),
            Ok(state) => state.to_string(),
            Err(_) => "off".into(),
        },
        pid: service.pid().ok(),
    };
    Row {
        testnet: testnet.to_owned(),
        host: host.name().to_owned(),
        address: host.ip().to_string(),
        cable: if host.cable_in() { "in" } else { "cut" },
        power: if on { "on" } else { "off" },
        engine: service(host.engine()),
        daemon: service(host.daemon()),
    }
}

fn table(rows: &[Row]) -> String {
    let mut cells = vec![HEAD.map(str::to_owned)];
    cells.extend(rows.iter().map(|row| {
        [
            row.testnet.clone(),
            row.host.clone(),
            row.address.clone(),
            row.cable.to_owned(),
            row.power.to_owned(),
            row.engine.cell(),
            row.daemon.cell(),
        ]
    }));
    let mut widths = [0; HEAD.len()];
    for line in &cells {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.len().max(*width);
        }
    }
    let mut text = String::new();
    for line in &cells {
        let padded = line
            .iter()
            .zip(widths)
            .map(|(cell, w)| format!("{cell:w$}"));
        text += padded.collect::<Vec<_>>().join("   ").trim_end();
        text.push('\n');
    }
    text
}

impl ServiceRow {
    fn cell(&self) -> String {
        match self.pid {
            Some(pid) => format!("{} (pid {pid})", self.state),
            None => self.state.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let service = |state: &str, pid| ServiceRow {
            state: state.into(),
            pid,
        };
        vec![Row {
            testnet: "default".into(),
            host: "h1".into(),
            address: "10.99.1.1".into(),
            cable: "cut",
            power: "on",
            engine: service("ready", Some(12)),
            daemon: service("absent", None),
        }]
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        assert_eq!(
            table(&rows()),
            "TESTNET   HOST   ADDRESS     CABLE   POWER   ENGINE           DAEMON\n\
             default   h1     10.99.1.1   cut     on      ready (pid 12)   absent\n"
        );
    }

    #[test]
    fn json_keeps_states_and_numbers_apart() {
        let json = serde_json::to_value(rows()).unwrap();
        assert_eq!(json[0]["engine"]["state"], "ready");
        assert_eq!(json[0]["engine"]["pid"], 12);
        assert!(json[0]["daemon"]["pid"].is_null());
    }
}
