//! What a host's kernel does with packets, read from the kernel.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::Result;
use swarmlet_testnet::Host;

/// The tasks to which VIPs and published ports lead on a host now.
pub fn backends(host: &Host) -> Result<BTreeSet<IpAddr>> {
    let rules = host.ok(&["nft", "-n", "list", "table", "inet", "swarmlet"])?;
    Ok(targets(&rules))
}

/// Every address that a packet may be sent on to, of each family:
/// `dnat ip to numgen random mod 2 map { 0 : 10.0.5.3, 1 : 10.0.5.4 }:80`.
fn targets(rules: &str) -> BTreeSet<IpAddr> {
    let lines = rules.lines().filter_map(|line| line.split_once("dnat "));
    let words = lines.flat_map(|(_, target)| target.split([' ', ',']));
    words.filter_map(address).collect()
}

/// `10.0.5.3`, `10.0.5.3:80`, `fd00::3` or `[fd00::3]:80`.
fn address(word: &str) -> Option<IpAddr> {
    let word = word.trim();
    let inner = word.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let plain = inner.map_or(word, |(addr, _)| addr);
    let without_port = plain.split_once(':').map_or(plain, |(addr, _)| addr);
    plain.parse().or_else(|_| without_port.parse()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_target_is_read() {
        let rules = "chain vip_10.0.5.2 {\n dnat ip to 10.0.5.3\n}\nchain port_tcp_80 {\n\
            meta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 10.0.5.4, 1 : 10.0.5.5 }:80\n\
            meta l4proto tcp dnat ip6 to [fd00::3]:80\n ip saddr 10.0.5.9 drop\n}\n";
        let found: Vec<String> = targets(rules).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.0.5.3", "10.0.5.4", "10.0.5.5", "fd00::3"]);
    }
}
