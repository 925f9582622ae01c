//! What a service is attached to: `net`, or the long form
//! `name=net,alias=a,driver-opt=k=v,ip=10.0.5.9,task-ip=10.0.5.10`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Invalid, comma_fields};

/// One `--network`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attachment {
    /// A name or an id.
    pub network: String,
    pub aliases: Vec<String>,
    pub driver_opts: BTreeMap<String, String>,
    /// Of the service on this network, at most one of each family; none: the
    /// swarm picks one.
    pub vips: Vec<IpAddr>,
    /// Of the service's one task, by the same rule.
    pub ips: Vec<IpAddr>,
}

pub fn attachment(text: &str) -> Result<Attachment, Invalid> {
    if text.is_empty() {
        return Err(Invalid::new("network name/id is not specified"));
    }
    if !text.contains('=') {
        return Ok(Attachment {
            network: text.to_owned(),
            ..Attachment::default()
        });
    }
    let mut attachment = Attachment::default();
    for field in comma_fields(text)? {
        let Some((key, value)) = field.split_once('=') else {
            return Err(Invalid::new(format!("invalid field {field}")));
        };
        match key.trim().to_ascii_lowercase().as_str() {
            "name" => attachment.network = value.to_owned(),
            "alias" => attachment.aliases.push(value.to_owned()),
            "driver-opt" => {
                let (key, value) = value.split_once('=').ok_or_else(|| {
                    Invalid::new("invalid key value pair format in driver options")
                })?;
                let opts = &mut attachment.driver_opts;
                opts.insert(key.to_ascii_lowercase(), value.to_owned());
            }
            "ip" => add(&mut attachment.vips, "a service", address(value, false)?)?,
            "ip6" => add(&mut attachment.vips, "a service", address(value, true)?)?,
            "task-ip" => add(&mut attachment.ips, "a task", address(value, false)?)?,
            "task-ip6" => add(&mut attachment.ips, "a task", address(value, true)?)?,
            _ => return Err(Invalid::new(format!("invalid field key {key}"))),
        }
    }
    match attachment.network.is_empty() {
        true => Err(Invalid::new("network name/id is not specified")),
        false => Ok(attachment),
    }
}

fn add(addrs: &mut Vec<IpAddr>, whose: &str, addr: IpAddr) -> Result<(), Invalid> {
    let same = |other: &IpAddr| other.is_ipv6() == addr.is_ipv6();
    if addrs.iter().any(same) {
        return Err(Invalid::new(format!(
            "{whose} has one address of each family on a network; {addr} is another"
        )));
    }
    addrs.push(addr);
    Ok(())
}

fn address(text: &str, is_v6: bool) -> Result<IpAddr, Invalid> {
    let family = if is_v6 { "IPv6" } else { "IPv4" };
    text.parse()
        .ok()
        .filter(|addr: &IpAddr| addr.is_ipv6() == is_v6)
        .ok_or_else(|| Invalid::new(format!("{text:?} is not an {family} address")))
}

/// A range of addresses, `10.0.5.0/24`; what the host part says is left out.
pub fn subnet(text: &str) -> Result<IpNet, Invalid> {
    text.parse::<IpNet>()
        .map(|net| net.trunc())
        .map_err(|_| Invalid::new(format!("invalid CIDR address: {text}")))
}

pub fn ip(text: &str) -> Result<IpAddr, Invalid> {
    text.parse()
        .map_err(|_| Invalid::new(format!("{text:?} is not an IP address")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_named_in_both_syntaxes() {
        assert_eq!(attachment("net").unwrap().network, "net");
        let long =
            attachment(r#"Name=net,alias=w,ALIAS=www,"driver-opt=K=a,b",ip=10.0.5.9,ip6=fd00::9,task-ip=10.0.5.10"#)
                .unwrap();
        assert_eq!(
            long,
            Attachment {
                network: "net".into(),
                aliases: vec!["w".into(), "www".into()],
                driver_opts: [("k".into(), "a,b".into())].into(),
                vips: vec!["10.0.5.9".parse().unwrap(), "fd00::9".parse().unwrap()],
                ips: vec!["10.0.5.10".parse().unwrap()],
            }
        );
    }

    #[test]
    fn what_names_no_network_is_refused_with_its_reason() {
        for (text, why) in [
            ("", "network name/id is not specified"),
            ("alias=w", "network name/id is not specified"),
            ("name=n,alias", "invalid field alias"),
            ("name=n,mac=1", "invalid field key mac"),
            (
                "name=n,driver-opt=x",
                "invalid key value pair format in driver options",
            ),
            ("name=n,ip=fd00::1", "\"fd00::1\" is not an IPv4 address"),
            ("name=n,ip6=10.0.0.1", "\"10.0.0.1\" is not an IPv6 address"),
            (
                "name=n,ip=10.0.0.1,ip=10.0.0.2",
                "a service has one address of each family on a network; 10.0.0.2 is another",
            ),
        ] {
            assert_eq!(attachment(text).unwrap_err().to_string(), why, "{text}");
        }
    }

    #[test]
    fn a_subnet_is_its_first_address() {
        assert_eq!(subnet("10.0.5.7/24").unwrap().to_string(), "10.0.5.0/24");
        assert_eq!(subnet("fd00::1/64").unwrap().to_string(), "fd00::/64");
        for text in ["10.0.5.0", "10.0.5.0/33", "x/24"] {
            assert_eq!(
                subnet(text).unwrap_err().to_string(),
                format!("invalid CIDR address: {text}")
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-z0-9=,:./\\[\\]\\-]{0,40}") {
            let _ = (attachment(&text), subnet(&text));
        }
    }
}
