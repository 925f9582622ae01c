//! Names and addresses: extra hosts, DNS servers and search domains.

use std::net::IpAddr;

use super::Invalid;

/// An entry of a container's `/etc/hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraHost {
    pub name: String,
    pub address: IpAddr,
}

impl ExtraHost {
    /// As specs hold it, `IP name`.
    pub fn entry(&self) -> String {
        format!("{} {}", self.address, self.name)
    }
}

/// `name:address` or `name=address`; an IPv6 address may stand in brackets.
pub fn extra_host(text: &str) -> Result<ExtraHost, Invalid> {
    let bad_format = || Invalid::new(format!("bad format for add-host: {text:?}"));
    let (name, address) = text.split_once(['=', ':']).ok_or_else(bad_format)?;
    if name.is_empty() || address.is_empty() {
        return Err(bad_format());
    }
    let bare = address
        .strip_prefix('[')
        .and_then(|a| a.strip_suffix(']'))
        .unwrap_or(address);
    let address = bare
        .parse()
        .map_err(|_| Invalid::new(format!("invalid IP address in add-host: {address:?}")))?;
    Ok(ExtraHost {
        name: name.to_owned(),
        address,
    })
}

/// The name in a `--host-rm` value, which may be written as it was added.
pub fn host_name(text: &str) -> &str {
    text.split_once(['=', ':']).map_or(text, |(name, _)| name)
}

pub fn ip_address(text: &str) -> Result<String, Invalid> {
    text.trim()
        .parse::<IpAddr>()
        .map(|address| address.to_string())
        .map_err(|_| Invalid::new(format!("IP address is not correctly formatted: {text}")))
}

/// A search domain; `.` alone means none.
pub fn dns_search(text: &str) -> Result<String, Invalid> {
    let domain = text.trim();
    if domain == "." {
        return Ok(domain.to_owned());
    }
    let label = |label: &str| {
        let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
        edge(label.bytes().next())
            && edge(label.bytes().next_back())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let name = domain.strip_suffix('.').unwrap_or(domain);
    let has_letter = name.bytes().any(|b| b.is_ascii_alphabetic());
    if has_letter && name.len() <= 255 && name.split('.').all(label) {
        return Ok(domain.to_owned());
    }
    Err(Invalid::new(format!("{text} is not a valid domain")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extra_host_is_stored_address_first() {
        for (text, entry) in [
            ("db:10.0.0.1", "10.0.0.1 db"),
            ("db=10.0.0.1", "10.0.0.1 db"),
            ("db:::1", "::1 db"),
            ("db=[fe80::1]", "fe80::1 db"),
        ] {
            assert_eq!(extra_host(text).unwrap().entry(), entry);
        }
        assert_eq!(
            extra_host("db").unwrap_err().to_string(),
            "bad format for add-host: \"db\""
        );
        assert_eq!(
            extra_host("db:there").unwrap_err().to_string(),
            "invalid IP address in add-host: \"there\""
        );
    }

    #[test]
    fn a_host_is_removed_by_its_name() {
        assert_eq!(host_name("db:10.0.0.1"), "db");
        assert_eq!(host_name("db"), "db");
    }

    #[test]
    fn dns_servers_are_addresses_and_search_domains_are_names() {
        assert_eq!(ip_address(" 1.1.1.1 ").unwrap(), "1.1.1.1");
        assert!(ip_address("dns.example").is_err());
        for good in [".", "example.com", "a-b.c.", "x"] {
            assert_eq!(dns_search(good).unwrap(), good);
        }
        for bad in ["", "-a.b", "a..b", "10.0", "a b"] {
            assert!(dns_search(bad).is_err(), "{bad}");
        }
    }
}
