//! What `swarmlet network doctor` shows.

use std::collections::BTreeMap;
use std::time::Duration;

use overlay::tunnel::{Drops, Echoes, PathReport, PeerReport};

use crate::api::dto::{
    DoctorDevice, DoctorPair, DoctorPath, DoctorProbes, DoctorView, NetworkDoctor,
};
use crate::doctor::report::{Device, Pair, Report};

pub fn doctor(report: Report) -> NetworkDoctor {
    NetworkDoctor {
        devices: report.devices.into_iter().map(device).collect(),
        pairs: report.pairs.into_iter().map(pair).collect(),
        problems: report.problems,
        ..NetworkDoctor::default()
    }
}

fn device(device: Device) -> DoctorDevice {
    DoctorDevice {
        id: device.id.to_string(),
        hostname: device.name,
        answered: device.answered,
        data_path_addr: String::new(),
        networks: device.networks.into_iter().collect(),
        dropped: dropped(&device.drops),
    }
}

fn dropped(drops: &Drops) -> BTreeMap<String, u64> {
    let reasons = [
        ("MalformedSent", drops.malformed_sent),
        ("MalformedReceived", drops.malformed_received),
        ("UnknownSent", drops.unknown_sent),
        ("UnknownReceived", drops.unknown_received),
        ("ForeignSent", drops.foreign_sent),
        ("ForeignReceived", drops.foreign_received),
        ("Unreachable", drops.unreachable),
        ("Congested", drops.congested),
        ("TooBig", drops.too_big),
        ("RefusedByKernel", drops.refused_by_kernel),
    ];
    let counted = reasons.into_iter().filter(|(_, count)| *count > 0);
    counted
        .map(|(reason, count)| (reason.to_owned(), count))
        .collect()
}

fn pair(pair: Pair) -> DoctorPair {
    DoctorPair {
        connected: pair.is_connected(),
        ids: [0, 1].map(|side: usize| pair.devices[side].id.to_string()),
        hostnames: pair.devices.map(|device| device.name),
        networks: pair.networks.into_iter().collect(),
        seen: pair.seen.map(|peer| peer.as_ref().map(view)),
    }
}

fn view(peer: &PeerReport) -> DoctorView {
    DoctorView {
        wanted: peer.is_wanted,
        failure: peer.failure.clone().unwrap_or_default(),
        path: peer.path.as_ref().map(path),
        small_probes: peer.probed.map(|probed| probes(probed.small)),
        large_probes: peer.probed.map(|probed| probes(probed.large)),
    }
}

fn path(path: &PathReport) -> DoctorPath {
    DoctorPath {
        address: path.remote.to_string(),
        dialled: path.dialled,
        established_for: nanos(path.established),
        round_trip: nanos(path.rtt),
        mtu: path.mtu as u64,
        sent_datagrams: path.sent_datagrams,
        received_datagrams: path.received_datagrams,
        sent_bytes: path.sent_bytes,
        received_bytes: path.received_bytes,
        sent_packets: path.sent,
        lost_packets: path.lost,
    }
}

fn probes(echoes: Echoes) -> DoctorProbes {
    DoctorProbes {
        sent: echoes.sent.into(),
        answered: echoes.answered.into(),
        fastest: nanos(echoes.fastest),
        mean: nanos(echoes.mean),
        slowest: nanos(echoes.slowest),
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
