//! The small languages of flag values: durations, sizes, ports, mounts, …
//!
//! Each parser is a pure function from the text behind a flag to a value that
//! cannot be wrong, or to [`Invalid`], whose text clap shows beside the flag.
//! They accept what Docker's command line accepts, so that people's fingers
//! and scripts keep working.

mod file;
mod hosts;
mod image;
mod moment;
mod mount;
mod network;
mod pairs;
mod port;
mod ulimit;

pub use file::{FileRequest, config, secret};
pub use hosts::{ExtraHost, dns_search, extra_host, host_name, ip_address};
pub use image::{has_tag, tagged, without_hub};
pub use moment::moment;
pub use mount::mount;
pub use network::{Attachment, attachment, ip, subnet};
pub use pairs::{Pair, env_file, key_of, merge_env, pair, resolve_env};
pub use port::{PortRemoval, PublishedPorts, publish, publish_removal};
pub use services::text::{Invalid, Nanos, Words, boolean, bytes, cpus, duration, words};
pub use ulimit::ulimit;

use services::text::comma_fields;

/// A placement preference, `spread=node.labels.zone`: what to spread over.
pub fn spread(text: &str) -> Result<String, Invalid> {
    match text.split_once('=') {
        Some(("spread", over)) if !over.contains('=') => Ok(over.to_owned()),
        Some((strategy, over)) if strategy != "spread" && !over.contains('=') => Err(Invalid::new(
            format!("unsupported placement preference {strategy} (only spread is supported)"),
        )),
        _ => Err(Invalid::new(
            "placement preference must be of the format \"<strategy>=<arg>\"",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_spread_is_a_placement_preference() {
        assert_eq!(
            spread("spread=node.labels.zone").unwrap(),
            "node.labels.zone"
        );
        assert_eq!(
            spread("pack=x").unwrap_err().to_string(),
            "unsupported placement preference pack (only spread is supported)"
        );
        assert_eq!(
            spread("zone").unwrap_err().to_string(),
            "placement preference must be of the format \"<strategy>=<arg>\""
        );
    }
}
