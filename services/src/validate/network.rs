//! Which network specs are accepted (swarmkit's
//! `manager/controlapi/network.go` and its `validateIPAMConfiguration`).

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{check_name, invalid};
use crate::command::{Refusal, RefusalKind};
use crate::spec::{Driver, IpamConfig, NetworkSpec};

/// The fewest host bits that leave room for a gateway, a VIP and a task.
const MIN_HOST_BITS: u8 = 2;

/// # Errors
/// Why the spec is refused, with the kind and text that Docker answers.
pub fn validate_network(spec: &NetworkSpec) -> Result<(), Refusal> {
    check_name(&spec.name)?;
    check_driver("plugin", spec.driver.as_ref(), &["overlay", "swarmlet"])?;
    check_driver("IPAM driver", spec.ipam.driver.as_ref(), &["default"])?;
    if spec.ingress && spec.attachable {
        return Err(invalid("ingress network cannot be attachable"));
    }
    if spec.ingress && spec.internal {
        return Err(invalid("ingress network cannot be internal"));
    }
    spec.mtu().map_err(invalid)?;
    let mut families = BTreeSet::new();
    for config in &spec.ipam.configs {
        let Some(subnet) = check_config(config)? else {
            continue;
        };
        if subnet.addr().is_ipv6() && !spec.ipv6 {
            return Err(invalid(format!(
                "ipam configuration: subnet {subnet} needs IPv6 to be enabled for the network"
            )));
        }
        if !families.insert(subnet.addr().is_ipv6()) {
            return Err(invalid(format!(
                "ipam configuration: subnet {subnet} is the second of its family; a network has \
                 one of each"
            )));
        }
    }
    Ok(())
}

fn check_driver(what: &str, driver: Option<&Driver>, known: &[&str]) -> Result<(), Refusal> {
    match driver.map(|driver| driver.name.as_str()) {
        None | Some("") => Ok(()),
        Some(name) if known.contains(&name) => Ok(()),
        Some(name) => {
            let text = format!("{what} {name:?} not found");
            Err(RefusalKind::NotFound.because(text))
        }
    }
}

/// The subnet, where there is one.
fn check_config(config: &IpamConfig) -> Result<Option<IpNet>, Refusal> {
    let Some(subnet) = config.subnet else {
        return match *config == IpamConfig::default() {
            true => Ok(None),
            false => Err(invalid("ipam configuration: invalid subnet ")),
        };
    };
    if subnet != subnet.trunc() {
        let truncated = subnet.trunc();
        return Err(invalid(format!(
            "ipam configuration: invalid subnet {subnet}: it should be {truncated}"
        )));
    }
    let host_bits = subnet.max_prefix_len() - subnet.prefix_len();
    if host_bits < MIN_HOST_BITS {
        return Err(invalid(format!(
            "ipam configuration: invalid subnet {subnet}: it has no room for tasks"
        )));
    }
    if is_special(subnet) {
        return Err(invalid(format!(
            "ipam configuration: invalid subnet {subnet}: its addresses are reserved"
        )));
    }
    let missing = |what: &str, value: &dyn std::fmt::Display| {
        invalid(format!(
            "ipam configuration: subnet {subnet} does not contain {what} {value}"
        ))
    };
    if let Some(range) = config.ip_range.filter(|range| !subnet.contains(range)) {
        return Err(missing("range", &range));
    }
    if let Some(gateway) = config.gateway.filter(|addr| !subnet.contains(addr)) {
        return Err(missing("gateway", &gateway));
    }
    let mut aux = config.aux.values();
    if let Some(addr) = aux.find(|addr| !subnet.contains(*addr)) {
        return Err(missing("auxiliary address", addr));
    }
    Ok(Some(subnet))
}

/// Loopback, link-local, multicast and "this host": no container can have such
/// an address.
fn is_special(subnet: IpNet) -> bool {
    let special = |addr: IpAddr| match addr {
        IpAddr::V4(addr) => {
            addr.is_loopback()
                || addr.is_link_local()
                || addr.is_multicast()
                || addr.octets()[0] == 0
                || addr.octets()[0] >= 240
        }
        IpAddr::V6(addr) => {
            addr.is_loopback()
                || addr.is_unspecified()
                || addr.is_unicast_link_local()
                || addr.is_multicast()
        }
    };
    special(subnet.network()) || special(subnet.broadcast())
}
