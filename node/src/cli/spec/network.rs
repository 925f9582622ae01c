//! From flags to a network, and the networks of a service.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use services::overlaps;

use crate::api::dto::{
    IP_LABEL, Ipam, IpamConfig, Labels, NetworkAttachmentConfig, NetworkCreateRequest, ServiceSpec,
    VIP_LABEL,
};
use crate::cli::args::NetworkCreateArgs;
use crate::cli::values::{Attachment, Invalid};

/// What `network create` sends.
pub fn network(args: &NetworkCreateArgs) -> Result<NetworkCreateRequest, Invalid> {
    Ok(NetworkCreateRequest {
        name: args.name.clone(),
        check_duplicate: true,
        driver: args.driver.clone(),
        enable_ipv6: args.ipv6,
        ipam: Some(Ipam {
            driver: "default".into(),
            options: Some(Labels::new()),
            config: Some(ipam(args)?),
        }),
        internal: args.internal,
        attachable: args.attachable,
        ingress: args.ingress,
        options: super::labels(&args.opt),
        labels: super::labels(&args.label),
        ..NetworkCreateRequest::default()
    })
}

/// Puts each range, gateway and reserved address to its subnet.
fn ipam(args: &NetworkCreateArgs) -> Result<Vec<IpamConfig>, Invalid> {
    if args.subnet.len() < args.ip_range.len() || args.subnet.len() < args.gateway.len() {
        return Err(Invalid::new(
            "every ip-range or gateway must have a corresponding subnet",
        ));
    }
    let mut configs: Vec<(IpNet, IpamConfig)> = Vec::new();
    for subnet in &args.subnet {
        if configs.iter().any(|(other, _)| overlaps(*other, *subnet)) {
            return Err(Invalid::new(
                "multiple overlapping subnet configuration is not supported",
            ));
        }
        let config = IpamConfig {
            subnet: subnet.to_string(),
            ..IpamConfig::default()
        };
        configs.push((*subnet, config));
    }
    for range in &args.ip_range {
        let config = find(&mut configs, |subnet| subnet.contains(range))
            .ok_or_else(|| Invalid::new(format!("no matching subnet for range {range}")))?;
        set_once("ranges", "on", &mut config.ip_range, range, &config.subnet)?;
    }
    for gateway in &args.gateway {
        let config = find(&mut configs, |subnet| subnet.contains(gateway))
            .ok_or_else(|| Invalid::new(format!("no matching subnet for gateway {gateway}")))?;
        set_once(
            "gateways",
            "for",
            &mut config.gateway,
            gateway,
            &config.subnet,
        )?;
    }
    for (name, addr) in &args.aux_address {
        let config = find(&mut configs, |subnet| subnet.contains(addr))
            .ok_or_else(|| Invalid::new(format!("no matching subnet for aux-address {addr}")))?;
        let reserved = &mut config.auxiliary_addresses;
        reserved.insert(name.clone(), addr.to_string());
    }
    Ok(configs.into_iter().map(|(_, config)| config).collect())
}

fn find(
    configs: &mut [(IpNet, IpamConfig)],
    is_it: impl Fn(&IpNet) -> bool,
) -> Option<&mut IpamConfig> {
    let found = configs.iter_mut().find(|(subnet, _)| is_it(subnet));
    found.map(|(_, config)| config)
}

fn set_once(
    what: &str,
    on: &str,
    field: &mut String,
    value: &dyn std::fmt::Display,
    subnet: &str,
) -> Result<(), Invalid> {
    if !field.is_empty() {
        return Err(Invalid::new(format!(
            "cannot configure multiple {what} ({value}, {field}) {on} the same subnet ({subnet})"
        )));
    }
    *field = value.to_string();
    Ok(())
}

/// Attaches the service that `spec` is of; `ids` say what names stand for.
pub fn attach(
    spec: &mut ServiceSpec,
    attachments: &[Attachment],
    ids: &Ids,
) -> Result<(), Invalid> {
    for attachment in attachments {
        let name = &attachment.network;
        let target = ids.of(name);
        let networks = &mut spec.task_template.networks;
        if networks.iter().any(|network| network.target == target) {
            return Err(Invalid::new(format!(
                "service is already attached to network {name}"
            )));
        }
        networks.push(NetworkAttachmentConfig {
            target: target.to_owned(),
            aliases: attachment.aliases.clone(),
            driver_opts: attachment.driver_opts.clone(),
        });
        for (of, addrs) in [(VIP_LABEL, &attachment.vips), (IP_LABEL, &attachment.ips)] {
            if !addrs.is_empty() {
                let addrs: Vec<String> = addrs.iter().map(IpAddr::to_string).collect();
                spec.labels.insert(format!("{of}{name}"), addrs.join(","));
            }
        }
    }
    Ok(())
}

/// A network that the service is not attached to is left out.
pub fn detach(spec: &mut ServiceSpec, names: &[String], ids: &Ids) {
    let networks = &mut spec.task_template.networks;
    for name in names {
        let id = ids.of(name);
        networks.retain(|network| network.target != id && network.target != *name);
        let names = ids.0.iter().filter(|(_, known)| *known == id);
        for known in names.map(|(known, _)| known).chain([name]) {
            for of in [VIP_LABEL, IP_LABEL] {
                spec.labels.remove(&format!("{of}{known}"));
            }
        }
    }
}

/// The ids of networks, by what they were called on the command line and by
/// their names.
#[derive(Debug, Clone, Default)]
pub struct Ids(pub BTreeMap<String, String>);

impl Ids {
    fn of<'a>(&'a self, name: &'a str) -> &'a str {
        self.0.get(name).map_or(name, String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::{Cli, ClientCommand, Command, NetworkCommand};

    fn request(line: &str) -> Result<String, String> {
        let words = ["swarmlet", "network", "create"].into_iter();
        let cli = Cli::try_parse_from(words.chain(line.split_whitespace()))
            .map_err(|error| error.to_string())?;
        let Command::Client(ClientCommand::Network(NetworkCommand::Create(args))) = cli.command
        else {
            panic!("not create");
        };
        let request = network(&args).map_err(|error| error.to_string())?;
        Ok(serde_json::to_string(&request).unwrap())
    }

    #[test]
    fn a_network_is_of_the_swarm_unless_another_driver_is_said() {
        insta::assert_snapshot!(request("net").unwrap(), @r#"{"Name":"net","CheckDuplicate":true,"Driver":"overlay","EnableIPv6":false,"IPAM":{"Driver":"default","Options":{},"Config":[]},"Internal":false,"Attachable":false,"Ingress":false,"ConfigOnly":false,"Options":{},"Labels":{}}"#);
        assert!(request("-d bridge net").unwrap().contains("\"bridge\""));
    }

    #[test]
    fn every_flag_reaches_the_network() {
        let line = "--subnet 10.9.0.0/24,fd00::/64 --gateway 10.9.0.1 --gateway fd00::1 \
                    --ip-range 10.9.0.128/25 --aux-address router=10.9.0.2 --attachable \
                    --internal --ipv6 --ingress=false --label a=b --label c -o mtu=1300 net";
        insta::assert_snapshot!(request(line).unwrap(), @r#"{"Name":"net","CheckDuplicate":true,"Driver":"overlay","EnableIPv6":true,"IPAM":{"Driver":"default","Options":{},"Config":[{"Subnet":"10.9.0.0/24","IPRange":"10.9.0.128/25","Gateway":"10.9.0.1","AuxiliaryAddresses":{"router":"10.9.0.2"}},{"Subnet":"fd00::/64","Gateway":"fd00::1"}]},"Internal":true,"Attachable":true,"Ingress":false,"ConfigOnly":false,"Options":{"mtu":"1300"},"Labels":{"a":"b","c":""}}"#);
    }

    #[test]
    fn ranges_and_gateways_need_a_subnet_of_their_own() {
        for (line, why) in [
            (
                "--gateway 10.9.0.1 n",
                "every ip-range or gateway must have a corresponding subnet",
            ),
            (
                "--subnet 10.9.0.0/16 --subnet 10.9.1.0/24 n",
                "multiple overlapping subnet configuration is not supported",
            ),
            (
                "--subnet 10.9.0.0/24 --ip-range 10.8.0.0/25 n",
                "no matching subnet for range 10.8.0.0/25",
            ),
            (
                "--subnet 10.9.0.0/24 --gateway 10.8.0.1 n",
                "no matching subnet for gateway 10.8.0.1",
            ),
            (
                "--subnet 10.9.0.0/24 --aux-address a=10.8.0.1 n",
                "no matching subnet for aux-address 10.8.0.1",
            ),
            (
                "--subnet 10.9.0.0/24,10.8.0.0/24 --gateway 10.9.0.1,10.9.0.2 n",
                "cannot configure multiple gateways (10.9.0.2, 10.9.0.1) for the same subnet \
                 (10.9.0.0/24)",
            ),
            (
                "--subnet 10.9.0.0/24,10.8.0.0/24 --ip-range 10.9.0.0/25,10.9.0.128/25 n",
                "cannot configure multiple ranges (10.9.0.128/25, 10.9.0.0/25) on the same \
                 subnet (10.9.0.0/24)",
            ),
        ] {
            assert_eq!(request(line).unwrap_err(), why, "{line}");
        }
        let error = request("--subnet 10.9.0.0/33 n").unwrap_err();
        assert!(
            error.contains("invalid CIDR address: 10.9.0.0/33"),
            "{error}"
        );
    }
}
