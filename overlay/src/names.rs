//! What things of ours are called on a host. All of it derives from the run
//! directory, so that several nodes can live in one network namespace.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// Where a daemon runs unless it is told otherwise.
pub const RUN_DIR: &str = "/run/swarmlet";

/// Names and numbers that no two nodes of one host share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The nftables table, family `inet`.
    pub table: String,
    /// The TUN device.
    pub tun: String,
    /// What the host's ends of veth pairs begin with; at most 8 characters,
    /// and as many for all, so that no node's prefix begins another's.
    pub veth: String,
    /// Of the network driver, as the engine knows it.
    pub plugin: String,
    /// Of connections that came in through the TUN from outside the overlay.
    pub mark: u32,
    /// Of routes for packets with the mark.
    pub route_table: u32,
    /// Of the host, as its containers see it: their name server.
    pub gateway: Ipv4Addr,
    pub gateway6: Ipv6Addr,
}

impl Names {
    /// Those of the node whose daemon runs in `run_dir`.
    pub fn of(run_dir: &Path) -> Self {
        if run_dir == Path::new(RUN_DIR) {
            return Self::numbered("", 0);
        }
        let number = fnv1a(run_dir.as_os_str().as_encoded_bytes());
        Self::numbered(&format!("{number:04x}"), number)
    }

    fn numbered(suffix: &str, number: u16) -> Self {
        let [high, low] = number.to_be_bytes();
        let dashed = match suffix {
            "" => String::new(),
            suffix => format!("-{suffix}"),
        };
        Self {
            table: format!("swarmlet{dashed}"),
            tun: format!("swl{suffix}0"),
            veth: format!("swv{number:04x}"),
            plugin: format!("swarmlet{dashed}"),
            mark: 0x5377_0000 | u32::from(number),
            route_table: 0x5377_0000 | u32::from(number),
            // 169.254.0.0/24 and 169.254.255.0/24 are reserved (RFC 3927, 2.1).
            gateway: Ipv4Addr::new(169, 254, high.clamp(1, 254), low.max(1)),
            gateway6: Ipv6Addr::new(0xfd53, 0x7761, 0x726d, 0x6c65, 0, 0, 1, number),
        }
    }

    /// Whether an interface of the host is one of ours.
    pub fn is_link(&self, name: &str) -> bool {
        name == self.tun || name.starts_with(&self.veth)
    }

    pub fn is_gateway(&self, addr: IpAddr) -> bool {
        addr == IpAddr::V4(self.gateway) || addr == IpAddr::V6(self.gateway6)
    }
}

/// FNV-1a, folded to 16 bits: the same in every release.
fn fnv1a(bytes: &[u8]) -> u16 {
    let hash = bytes.iter().fold(0x811c_9dc5u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    (hash ^ (hash >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_node_has_short_names() {
        let names = Names::of(Path::new(RUN_DIR));
        assert_eq!(names.table, "swarmlet");
        assert_eq!(names.tun, "swl0");
        assert_eq!(names.gateway, Ipv4Addr::new(169, 254, 1, 1));
    }

    #[test]
    fn nodes_with_other_directories_share_no_name() {
        let (a, b) = (
            Names::of(Path::new("/run/a")),
            Names::of(Path::new("/run/b")),
        );
        assert_ne!(a.table, b.table);
        assert_ne!(a.tun, b.tun);
        assert_ne!(a.plugin, b.plugin);
        assert_ne!(a.mark, b.mark);
        assert_ne!(a.gateway, b.gateway);
    }

    #[test]
    fn interface_names_fit_the_kernel() {
        for dir in ["/run/swarmlet", "/run/a", "/tmp/another/place"] {
            let names = Names::of(Path::new(dir));
            assert!(names.tun.len() <= 15);
            assert!(names.veth.len() <= 8);
        }
    }
}
