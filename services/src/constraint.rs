//! Placement constraints: `node.labels.zone==a`, `node.ip != 10.0.0.0/8`.
//!
//! Syntax and meaning are swarmkit's (`manager/constraint`): one of `==` and
//! `!=`, values compared without regard to case, an absent label equal to the
//! empty one. A key that nobody knows is satisfied by no node.

use std::net::IpAddr;

use crate::command::{Refusal, RefusalKind};
use crate::object::Node;

const NODE_LABEL: &str = "node.labels.";
const ENGINE_LABEL: &str = "engine.labels.";
const OPERATORS: [(&str, bool); 2] = [("==", true), ("!=", false)];

/// One parsed expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    key: Key,
    /// `==` rather than `!=`.
    equal: bool,
    value: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    Id,
    Hostname,
    Ip,
    Role,
    Os,
    Arch,
    NodeLabel(String),
    EngineLabel(String),
    Unknown(String),
}

/// # Errors
/// `Unknown` with Docker's text, as Docker answers.
pub fn parse_all(texts: &[String]) -> Result<Vec<Constraint>, Refusal> {
    texts.iter().map(|text| Constraint::parse(text)).collect()
}

impl Constraint {
    /// # Errors
    /// `Unknown` with Docker's text, as Docker answers.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let split = |&(operator, equal)| Some((text.split_once(operator)?, equal));
        let Some(((key, value), equal)) = OPERATORS.iter().find_map(split) else {
            return Err(
                RefusalKind::Unknown.because("constraint expected one operator from ==, !=")
            );
        };
        let (key, value) = (key.trim(), value.trim());
        if !is_key(key) {
            return Err(RefusalKind::Unknown.because(format!("key '{key}' is invalid")));
        }
        if !is_value(value) {
            return Err(RefusalKind::Unknown.because(format!("value '{value}' is invalid")));
        }
        Ok(Self {
            key: Key::parse(key),
            equal,
            value: value.to_owned(),
        })
    }

    pub fn matches(&self, node: &Node) -> bool {
        let description = node.description.as_ref();
        let platform = description.map(|it| &it.platform);
        let is = |actual: Option<&str>| self.value.eq_ignore_ascii_case(actual.unwrap_or_default());
        let found = match &self.key {
            Key::Id => is(Some(&node.id.to_string())),
            Key::Hostname => is(description.map(|it| it.hostname.as_str())),
            Key::Role => is(Some(node.spec.role.as_str())),
            Key::Os => is(platform.map(|it| it.os.as_str())),
            Key::Arch => platform.is_some_and(|it| same_arch(&self.value, &it.architecture)),
            Key::NodeLabel(name) => is(node.spec.labels.get(name).map(String::as_str)),
            Key::EngineLabel(name) => is(description
                .and_then(|it| it.engine_labels.get(name))
                .map(String::as_str)),
            Key::Ip => match within(&self.value, node.addr.ip()) {
                Some(within) => within,
                None => return false,
            },
            Key::Unknown(_) => return false,
        };
        found == self.equal
    }
}

impl std::fmt::Display for Constraint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let operator = if self.equal { "==" } else { "!=" };
        let (prefix, name) = match &self.key {
            Key::Id => ("node.id", ""),
            Key::Hostname => ("node.hostname", ""),
            Key::Ip => ("node.ip", ""),
            Key::Role => ("node.role", ""),
            Key::Os => ("node.platform.os", ""),
            Key::Arch => ("node.platform.arch", ""),
            Key::NodeLabel(name) => (NODE_LABEL, name.as_str()),
            Key::EngineLabel(name) => (ENGINE_LABEL, name.as_str()),
            Key::Unknown(key) => (key.as_str(), ""),
        };
        write!(f, "{prefix}{name}{operator}{}", self.value)
    }
}

impl Key {
    fn parse(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "node.id" => Self::Id,
            "node.hostname" => Self::Hostname,
            "node.ip" => Self::Ip,
            "node.role" => Self::Role,
            "node.platform.os" => Self::Os,
            "node.platform.arch" => Self::Arch,
            _ => label(NODE_LABEL, text)
                .map(Self::NodeLabel)
                .or_else(|| label(ENGINE_LABEL, text).map(Self::EngineLabel))
                .unwrap_or_else(|| Self::Unknown(text.to_owned())),
        }
    }
}

/// The name of a label, whose case counts, after a prefix, whose does not.
fn label(prefix: &str, text: &str) -> Option<String> {
    let (head, name) = text.split_at_checked(prefix.len())?;
    (head.eq_ignore_ascii_case(prefix) && !name.is_empty()).then(|| name.to_owned())
}

/// The value of a `spread` descriptor on a node; the empty one where the node
/// has no such label. `None` for what cannot be spread over.
pub(crate) fn spread_value<'a>(descriptor: &str, node: &'a Node) -> Option<&'a str> {
    let labels = if let Some(name) = label(NODE_LABEL, descriptor) {
        node.spec.labels.get(&name)
    } else {
        let name = label(ENGINE_LABEL, descriptor)?;
        let description = node.description.as_ref();
        description.and_then(|it| it.engine_labels.get(&name))
    };
    Some(labels.map(String::as_str).unwrap_or_default())
}

/// Whether two names mean one architecture (`amd64` and `x86_64`).
pub(crate) fn same_arch(one: &str, other: &str) -> bool {
    fn canonical(arch: &str) -> String {
        match arch.to_ascii_lowercase().as_str() {
            "x86_64" | "x86-64" => "amd64".to_owned(),
            "aarch64" => "arm64".to_owned(),
            other => other.to_owned(),
        }
    }
    canonical(one) == canonical(other)
}

/// `None` where `text` is neither an address nor a network.
fn within(text: &str, ip: IpAddr) -> Option<bool> {
    let Some((network, prefix)) = text.split_once('/') else {
        return Some(text.parse::<IpAddr>().ok()?.to_canonical() == ip.to_canonical());
    };
    let prefix: u32 = prefix.parse().ok()?;
    match (network.parse().ok()?, ip.to_canonical()) {
        (IpAddr::V4(network), IpAddr::V4(ip)) if prefix <= 32 => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            Some((network.to_bits() ^ ip.to_bits()) & mask == 0)
        }
        (IpAddr::V6(network), IpAddr::V6(ip)) if prefix <= 128 => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            Some((network.to_bits() ^ ip.to_bits()) & mask == 0)
        }
        (IpAddr::V4(_), _) if prefix <= 32 => Some(false),
        (IpAddr::V6(_), _) if prefix <= 128 => Some(false),
        _ => None,
    }
}

fn is_key(text: &str) -> bool {
    let mut bytes = text.bytes();
    let first = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    first
        && text.len() > 1
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// No character that is an operator or might become one.
fn is_value(text: &str) -> bool {
    let allowed = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || byte.is_ascii_whitespace()
            || b":-_.*()?+[]\\^$|/".contains(&byte)
    };
    !text.is_empty() && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id;
    use crate::object::{Meta, NodeDescription};
    use crate::spec::{Availability, NodeSpec, Platform, Role};
    use proptest::prelude::*;

    fn node() -> Node {
        Node {
            id: Id::from_u128(7),
            meta: Meta::default(),
            spec: NodeSpec {
                name: None,
                labels: [("zone".to_owned(), "North".to_owned())].into(),
                role: Role::Worker,
                availability: Availability::Active,
            },
            description: Some(NodeDescription {
                hostname: "till-3".to_owned(),
                platform: Platform {
                    architecture: "x86_64".to_owned(),
                    os: "linux".to_owned(),
                },
                engine_labels: [("disk".to_owned(), "ssd".to_owned())].into(),
                ..NodeDescription::default()
            }),
            addr: "10.0.3.7:2377".parse().unwrap(),
        }
    }

    fn check(texts: &[&str], expected: bool) {
        for text in texts {
            let constraint = Constraint::parse(text).unwrap();
            assert_eq!(constraint.matches(&node()), expected, "{text}");
        }
    }

    #[test]
    fn a_node_is_known_by_each_of_its_properties() {
        check(
            &[
                "node.id==0000000000000000000000007",
                "node.hostname == TILL-3",
                "node.role==worker",
                "node.platform.os==linux",
                "node.platform.arch==amd64",
                "node.platform.arch==x86_64",
                "node.labels.zone==north",
                "engine.labels.disk==ssd",
                "node.ip==10.0.3.7",
                "node.ip==10.0.0.0/16",
                "NODE.LABELS.zone!=south",
                "node.labels.absent!=x",
                "node.ip!=fd00::/8",
            ],
            true,
        );
    }

    #[test]
    fn what_a_node_is_not_does_not_match() {
        check(
            &[
                "node.labels.Zone==north",
                "node.labels.absent==x",
                "node.role!=worker",
                "node.platform.arch==arm64",
                "node.ip!=10.0.3.7",
                "node.ip==10.0.3.0/33",
                "node.ip!=nonsense",
                "region==north",
                "region!=north",
            ],
            false,
        );
    }

    #[test]
    fn refusals_use_dockers_words() {
        let refused = |text: &str| Constraint::parse(text).unwrap_err();
        assert_eq!(
            refused("node.role=manager"),
            RefusalKind::Unknown.because("constraint expected one operator from ==, !=")
        );
        assert_eq!(refused("1x==a").message, "key '1x' is invalid");
        assert_eq!(refused("node.id==a~b").message, "value 'a~b' is invalid");
        assert_eq!(refused("node.id==").message, "value '' is invalid");
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text: String) {
            if let Ok(constraint) = Constraint::parse(&text) {
                constraint.matches(&node());
            }
        }

        #[test]
        fn any_network_is_compared_without_panic(prefix: u32, ip: std::net::IpAddr) {
            within(&format!("{ip}/{prefix}"), ip);
        }
    }
}
