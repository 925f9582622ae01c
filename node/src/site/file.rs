//! What a device is told of its site by files: the operator's
//! `/etc/swarmlet/site.toml`, and what `up` keeps until there is a swarm.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use certs::SiteSecret;
use serde::{Deserialize, Serialize};
use services::managing::DEFAULT_MANAGERS;
use services::spec::{Availability, Labels};

use super::form::Options;
use crate::address;
use crate::control::CONTROL_PORT;

/// Bytes of a site file that are read.
const MAX_FILE: u64 = 64 << 10;

/// How many managers a swarm can be told to have.
pub const MANAGERS: [usize; 4] = [1, 3, 5, 7];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SiteFile {
    key: String,
    managers: Option<usize>,
    availability: Option<Availability>,
    advertise: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// The site that the file at `path` describes; `None` if there is no file.
/// Takes a second: the key is stretched.
///
/// # Errors
/// The file cannot be read, or what is wrong in it and where.
pub fn read(path: &Path) -> anyhow::Result<Option<Options>> {
    use std::io::Read;
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    if file.metadata()?.permissions().mode() & 0o004 != 0 {
        tracing::warn!(
            "{} holds the site key and everyone can read it",
            path.display()
        );
    }
    let mut text = String::new();
    file.take(MAX_FILE)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text)
        .with_context(|| format!("{} is not a site file", path.display()))
        .map(Some)
}

fn parse(text: &str) -> anyhow::Result<Options> {
    let file: SiteFile = basic_toml::from_str(text)?;
    let managers = file.managers.unwrap_or(DEFAULT_MANAGERS);
    ensure!(
        MANAGERS.contains(&managers),
        "managers must be 1, 3, 5 or 7, not {managers}"
    );
    if let Some(advertise) = &file.advertise
        && let Err(problem) = address::check(advertise)
    {
        bail!("advertise: {problem}");
    }
    Ok(Options {
        secret: SiteSecret::of_key(&file.key)?,
        managers,
        labels: file.labels,
        listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, CONTROL_PORT)),
        advertise: file.advertise,
        availability: file.availability.unwrap_or_default(),
    })
}

/// What outlives a restart of a device that waits. The key itself does not:
/// only what it was stretched to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Pending {
    secret: [u8; certs::SITE_BYTES],
    managers: usize,
    labels: Labels,
    listen: SocketAddr,
    advertise: Option<String>,
    availability: Availability,
    /// A swarm is being founded: what is on the disk may be half of one.
    pub founding: bool,
}

impl Pending {
    pub fn new(options: &Options, founding: bool) -> Self {
        Self {
            secret: *options.secret.as_bytes(),
            managers: options.managers,
            labels: options.labels.clone(),
            listen: options.listen,
            advertise: options.advertise.clone(),
            availability: options.availability,
            founding,
        }
    }

    pub fn options(self) -> Options {
        Options {
            secret: SiteSecret::from_bytes(self.secret),
            managers: self.managers,
            labels: self.labels,
            listen: self.listen,
            advertise: self.advertise,
            availability: self.availability,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "correct horse battery staple";

    #[test]
    fn a_file_with_nothing_but_a_key_is_enough() {
        let options = parse(&format!("key = {KEY:?}")).unwrap();
        assert_eq!(options.managers, 3);
        assert_eq!(options.secret, SiteSecret::of_key(KEY).unwrap());
        assert_eq!(options.listen.port(), CONTROL_PORT);
    }

    #[test]
    fn all_that_a_file_can_say_is_heeded() {
        let options = parse(&format!(
            "key = {KEY:?}\nmanagers = 5\navailability = \"pause\"\nadvertise = \"eth0\"\n\
             [labels]\nzone = \"a\"\n"
        ))
        .unwrap();
        assert_eq!(options.managers, 5);
        assert_eq!(options.availability, Availability::Pause);
        assert_eq!(options.advertise.as_deref(), Some("eth0"));
        assert_eq!(options.labels["zone"], "a");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let refused = |text: &str| format!("{:#}", parse(text).unwrap_err());
        assert!(refused("key = \"short\"").contains("at least 16"));
        assert!(refused("managers = 3").contains("key"));
        let typo = refused(&format!("key = {KEY:?}\n\nmanager = 3\n"));
        assert!(typo.contains("unknown field `manager`"), "{typo}");
        let broken = refused(&format!("key = {KEY:?}\n\nmanagers =\n"));
        assert!(broken.contains("line 3"), "{broken}");
        let even = refused(&format!("key = {KEY:?}\nmanagers = 2\n"));
        assert!(even.contains("1, 3, 5 or 7"), "{even}");
        let address = refused(&format!("key = {KEY:?}\nadvertise = \"eth0:x\"\n"));
        assert!(address.contains("advertise"), "{address}");
    }

    #[test]
    fn a_device_without_a_file_is_told_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(&dir.path().join("site.toml")).unwrap().is_none());
    }
}
