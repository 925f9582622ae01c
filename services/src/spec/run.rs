//! What `docker run` can ask for and Docker's services cannot: devices, GPUs,
//! privileges, and the namespaces of the host.
//!
//! Each value is read from the text that users write (`FromStr`), by the rules
//! of `docker run`, and shown as such a text again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Platform;
use crate::text::{Invalid, comma_fields};

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunOptions {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Device>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpus: Option<GpuRequest>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub privileged: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security: Vec<SecurityOption>,
    /// Bytes of `/dev/shm`; `None`: the engine's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<PidMode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipc: Option<IpcMode>,
    /// Of an image that is there for several the one that is run, and only
    /// where that can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

impl RunOptions {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A device of the host, or all those in a folder of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Below `/dev`, with nothing in it to resolve but links.
    pub on_host: String,
    pub in_container: String,
    /// Some of `r`, `w` and `m`.
    pub permissions: String,
}

const DEVICES: &str = "/dev/";
const ALL_PERMISSIONS: &str = "rwm";

/// `/dev/ttyUSB0[:/dev/in][:rwm]`.
impl FromStr for Device {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parts: Vec<&str> = text.split(':').collect();
        let (on_host, in_container, permissions) = match parts[..] {
            [on_host] => (on_host, on_host, ALL_PERMISSIONS),
            [on_host, second] if are_permissions(second) => (on_host, on_host, second),
            [on_host, second] => (on_host, second, ALL_PERMISSIONS),
            [on_host, in_container, permissions] => (on_host, in_container, permissions),
            _ => {
                return Err(Invalid::new(format!(
                    "invalid device specification: {text}"
                )));
            }
        };
        if !on_host.starts_with(DEVICES) || !is_plain_path(on_host) {
            return Err(Invalid::new(format!(
                "invalid device {on_host:?}: say its path below /dev"
            )));
        }
        if !is_plain_path(in_container) {
            return Err(Invalid::new(format!(
                "invalid path of a device in the container {in_container:?}: it must be absolute"
            )));
        }
        if !are_permissions(permissions) {
            return Err(Invalid::new(format!(
                "invalid device mode {permissions:?}: say some of r, w and m"
            )));
        }
        Ok(Self {
            on_host: on_host.to_owned(),
            in_container: in_container.to_owned(),
            permissions: permissions.to_owned(),
        })
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.on_host)?;
        if self.in_container != self.on_host {
            write!(f, ":{}", self.in_container)?;
        }
        match self.permissions == ALL_PERMISSIONS {
            true => Ok(()),
            false => write!(f, ":{}", self.permissions),
        }
    }
}

/// Absolute, and with nothing between its slashes that says nothing.
fn is_plain_path(path: &str) -> bool {
    let is_name = |name: &str| !matches!(name, "" | "." | "..") && !name.contains('\0');
    path.strip_prefix('/')
        .is_some_and(|names| names.split('/').all(is_name))
}

fn are_permissions(text: &str) -> bool {
    let letters: BTreeSet<char> = text.chars().collect();
    !text.is_empty()
        && letters.len() == text.chars().count()
        && letters
            .iter()
            .all(|letter| ALL_PERMISSIONS.contains(*letter))
}

/// Which GPUs of its node a container gets.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GpuRequest {
    /// Empty: the engine chooses.
    pub driver: String,
    pub count: GpuCount,
    pub capabilities: BTreeSet<String>,
    pub options: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GpuCount {
    All,
    Number(u32),
    /// By the numbers or the ids that the driver gives them.
    Named(Vec<String>),
}

impl Default for GpuCount {
    fn default() -> Self {
        Self::Number(1)
    }
}

/// Every request is for something that has it.
const GPU: &str = "gpu";

/// As `docker run --gpus` takes it: `all`, `2`, `"device=0,1"` (with the quotes,
/// for the comma) or `driver=nvidia,count=2,capabilities=utility`.
impl FromStr for GpuRequest {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut request = Self {
            capabilities: BTreeSet::from([GPU.to_owned()]),
            ..Self::default()
        };
        let mut seen: BTreeSet<String> = BTreeSet::new();
        for field in comma_fields(text)? {
            let (key, value) = field.split_once('=').unwrap_or(("count", &field));
            let once = match key {
                // Each says how many.
                "device" => seen.insert("count".to_owned()),
                key => seen.insert(key.to_owned()),
            };
            if !once {
                return Err(Invalid::new(format!(
                    "gpu request key '{key}' can be specified only once"
                )));
            }
            match key {
                "driver" => value.clone_into(&mut request.driver),
                "count" => request.count = gpu_count(value)?,
                "device" => {
                    let names = value.split(',').map(str::to_owned);
                    request.count = GpuCount::Named(names.collect());
                }
                "capabilities" => {
                    let more = value.split(',').map(str::to_owned);
                    request.capabilities.extend(more);
                }
                "options" => {
                    for option in comma_fields(value)? {
                        let (name, value) = option.split_once('=').unwrap_or((&option, ""));
                        request.options.insert(name.to_owned(), value.to_owned());
                    }
                }
                _ => {
                    return Err(Invalid::new(format!("unexpected key '{key}' in '{field}'")));
                }
            }
        }
        let is_empty = |word: &String| word.is_empty();
        let unnamed =
            matches!(&request.count, GpuCount::Named(names) if names.iter().any(is_empty));
        if unnamed || request.capabilities.iter().any(is_empty) {
            return Err(Invalid::new(format!("a name is empty in '{text}'")));
        }
        Ok(request)
    }
}

/// A count, or fields with commas between, where a field that has commas itself
/// is quoted.
impl fmt::Display for GpuRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (how_many, named) = match &self.count {
            GpuCount::All => ("all".to_owned(), None),
            GpuCount::Number(number) => (number.to_string(), None),
            GpuCount::Named(names) => (String::new(), Some(names.join(","))),
        };
        let is_plain = self.driver.is_empty()
            && self.options.is_empty()
            && self.capabilities.iter().all(|name| name == GPU);
        if is_plain && named.is_none() {
            return f.write_str(&how_many);
        }
        let capabilities: Vec<&str> = self.capabilities.iter().map(String::as_str).collect();
        let options = self.options.iter();
        let options = options.map(|(name, value)| quoted(format!("{name}={value}")));
        let options: Vec<String> = options.collect();
        let fields = [
            ("count", how_many),
            ("driver", self.driver.clone()),
            ("device", named.unwrap_or_default()),
            ("capabilities", capabilities.join(",")),
            ("options", options.join(",")),
        ];
        let said = fields.iter().filter(|(_, value)| !value.is_empty());
        let said: Vec<String> = said
            .map(|(key, value)| quoted(format!("{key}={value}")))
            .collect();
        f.write_str(&said.join(","))
    }
}

/// RFC 4180: a field with a comma or a quote goes in quotes.
fn quoted(field: String) -> String {
    match field.contains([',', '"']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field,
    }
}

fn gpu_count(text: &str) -> Result<GpuCount, Invalid> {
    match text {
        "all" | "-1" => Ok(GpuCount::All),
        number => match number.parse() {
            Ok(number) if number > 0 => Ok(GpuCount::Number(number)),
            _ => Err(Invalid::new(format!(
                "invalid count ({text}): value must be either \"all\" or an integer"
            ))),
        },
    }
}

/// One `docker run --security-opt`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecurityOption {
    /// As the engine takes it.
    Engine(String),
    /// Nothing of `/proc` and `/sys` is hidden or read-only.
    UnconfinedPaths,
}

const UNCONFINED_PATHS: &str = "systempaths=unconfined";

impl FromStr for SecurityOption {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // The older way to write it.
        let parts = text.split_once('=').or_else(|| text.split_once(':'));
        let (key, value) = parts.unwrap_or((text, ""));
        let engine = || Ok(Self::Engine(text.to_owned()));
        match (key, value) {
            ("no-new-privileges", "" | "true" | "false") => engine(),
            ("apparmor" | "label", value) if !value.is_empty() => engine(),
            ("seccomp", "unconfined" | "builtin") => engine(),
            ("seccomp", profile) if profile.starts_with('{') => engine(),
            ("seccomp", _) => Err(Invalid::new(
                "invalid seccomp profile: say unconfined, builtin, or the JSON of one",
            )),
            ("systempaths", "unconfined") => Ok(Self::UnconfinedPaths),
            _ => Err(Invalid::new(format!(
                "invalid security option {text:?}: say no-new-privileges, apparmor=…, label=…, \
                 seccomp=… or {UNCONFINED_PATHS}"
            ))),
        }
    }
}

impl fmt::Display for SecurityOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Engine(text) => text,
            Self::UnconfinedPaths => UNCONFINED_PATHS,
        })
    }
}

/// Whose processes the container sees, beside its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PidMode {
    Host,
}

impl PidMode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
        }
    }
}

impl FromStr for PidMode {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "host" => Ok(Self::Host),
            _ => Err(Invalid::new(format!(
                "invalid PID mode {text:?}: say host, or nothing for its own"
            ))),
        }
    }
}

/// Whose shared memory, semaphores and queues the container has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IpcMode {
    Host,
    /// Its own, which other containers may join.
    Shareable,
    /// Its own, which they may not.
    Private,
    /// Its own, without `/dev/shm`.
    None,
}

impl IpcMode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Shareable => "shareable",
            Self::Private => "private",
            Self::None => "none",
        }
    }
}

impl FromStr for IpcMode {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let known = [Self::Host, Self::Shareable, Self::Private, Self::None];
        known
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or_else(|| {
                Invalid::new(format!(
                    "invalid IPC mode {text:?}: say host, shareable, private or none"
                ))
            })
    }
}

#[cfg(test)]
mod tests;
