//! Which machines run what. Images name the machines that they are for as Go
//! does, `arm/v7`; kernels name theirs, `armv7l`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::constraint::same_arch;
use crate::text::Invalid;

/// Of an image or of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Platform {
    /// `x86_64` (`amd64` is the same), `aarch64` (`arm64`), `arm/v7` (`armv7l`), …;
    /// empty: any.
    pub architecture: String,
    pub os: String,
}

impl Platform {
    /// As a registry says it of an image. Which of their variants other machines
    /// than those of 32-bit ARM have, no engine tells.
    pub fn of_image(os: &str, architecture: &str, variant: &str) -> Self {
        let whole = format!("{architecture}/{variant}");
        Self {
            architecture: match arm(&whole) {
                Some(Some(_)) => whole,
                _ => architecture.to_owned(),
            },
            os: os.to_owned(),
        }
    }

    /// Whether what is for this platform runs on a node of that. A newer ARM runs
    /// what is for the older ones, and one of 64 bits what is for 32; what is not
    /// said of it fits.
    pub fn runs_on(&self, node: &Self) -> bool {
        let architecture = || match (arm(&self.architecture), arm(&node.architecture)) {
            (Some(wanted), Some(there)) => wanted.zip(there).is_none_or(|(a, b)| a <= b),
            (Some(_), None) => same_arch(&node.architecture, "arm64"),
            _ => same_arch(&self.architecture, &node.architecture),
        };
        (self.os.is_empty() || self.os.eq_ignore_ascii_case(&node.os))
            && (self.architecture.is_empty() || architecture())
    }
}

/// Of a machine of 32-bit ARM its version, where that is said.
fn arm(architecture: &str) -> Option<Option<u32>> {
    let lower = architecture.to_ascii_lowercase();
    let version = lower.strip_prefix("arm")?;
    if version.is_empty() {
        return Some(None);
    }
    let version = version.strip_prefix('/').unwrap_or(version);
    let version = version.strip_prefix('v')?.chars().next()?.to_digit(10)?;
    (5..=8).contains(&version).then_some(Some(version))
}

/// `linux/arm/v7`, `linux/arm64`, or the architecture alone.
impl FromStr for Platform {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parts: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match parts[..] {
            [architecture] => ("linux", architecture, None),
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant)),
            _ => ("", "", None),
        };
        if os.is_empty() || architecture.is_empty() || variant == Some("") {
            return Err(Invalid::new(format!(
                "{text:?} is no platform, as linux/arm64 is one"
            )));
        }
        let platform = Self::of_image(os, architecture, variant.unwrap_or_default());
        let is_default = ["amd64/v1", "arm64/v8"].iter().any(|it| text.ends_with(it));
        match variant {
            Some(variant) if platform.architecture == architecture && !is_default => {
                Err(Invalid::new(format!(
                    "no node tells whether it is {architecture}/{variant}: say {os}/{architecture}, \
                     and constrain the service to the nodes that are"
                )))
            }
            _ => Ok(platform),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(node: &str) -> Platform {
        Platform {
            architecture: node.to_owned(),
            os: "linux".to_owned(),
        }
    }

    #[test]
    fn a_node_gets_what_it_runs() {
        let nodes = ["armv6l", "armv7l", "armv8l", "aarch64", "x86_64"];
        for (image, runs) in [
            ("linux/arm/v5", [true, true, true, true, false]),
            ("linux/arm/v6", [true, true, true, true, false]),
            ("linux/arm/v7", [false, true, true, true, false]),
            ("linux/arm/v8", [false, false, true, true, false]),
            ("linux/arm", [true, true, true, true, false]),
            ("linux/arm64/v8", [false, false, false, true, false]),
            ("arm64", [false, false, false, true, false]),
            ("linux/amd64/v1", [false, false, false, false, true]),
            ("windows/amd64", [false; 5]),
        ] {
            let platform: Platform = image.parse().unwrap();
            let found = nodes.map(|node| platform.runs_on(&on(node)));
            assert_eq!(found, runs, "{image}");
        }
        // What an engine says of itself need not be known.
        let unknown: Platform = "linux/armada".parse().unwrap();
        assert!(unknown.runs_on(&on("armada")) && !unknown.runs_on(&on("armv7l")));
        assert!(Platform::default().runs_on(&on("riscv64")));
        // The docker program asks for this where an image is for "arm".
        assert!(nodes.iter().all(|node| on("").runs_on(&on(node))));
    }

    #[test]
    fn a_platform_is_read_as_it_is_shown() {
        for text in ["linux/arm/v7", "linux/arm64", "windows/amd64"] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), text);
        }
        assert_eq!(
            "arm64".parse::<Platform>().unwrap().to_string(),
            "linux/arm64"
        );
        let of_image = Platform::of_image("linux", "amd64", "v3");
        assert_eq!(of_image.architecture, "amd64");
    }

    #[test]
    fn a_variant_that_no_node_tells_of_is_refused() {
        for (text, why) in [
            (
                "linux/amd64/v3",
                "no node tells whether it is amd64/v3: say linux/amd64, ",
            ),
            ("linux/arm/v9", "no node tells whether it is arm/v9"),
            ("linux/", "is no platform"),
            ("linux/arm/", "is no platform"),
            ("a/b/c/d", "is no platform"),
            ("", "is no platform"),
        ] {
            let error = text.parse::<Platform>().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
