//! Limits of a container's processes: `nofile=1024:2048`.

use super::Invalid;
use crate::api::dto::Ulimit;

const KINDS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// `name=soft[:hard]`; `-1` is without limit, and hard is soft where it is not
/// said.
pub fn ulimit(text: &str) -> Result<Ulimit, Invalid> {
    let invalid = || Invalid::new(format!("invalid ulimit argument: {text}"));
    let (name, limits) = text.split_once('=').ok_or_else(invalid)?;
    if !KINDS.contains(&name) {
        return Err(Invalid::new(format!("invalid ulimit type: {name}")));
    }
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let number = |text: &str| text.parse::<i64>().map_err(|_| invalid());
    let (soft, hard) = (number(soft)?, number(hard)?);
    if hard != -1 && (soft == -1 || soft > hard) {
        return Err(Invalid::new(format!(
            "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        )));
    }
    Ok(Ulimit {
        name: name.to_owned(),
        hard,
        soft,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ulimit_has_a_soft_and_a_hard_side() {
        for (text, soft, hard) in [
            ("nofile=1024", 1024, 1024),
            ("nofile=1024:2048", 1024, 2048),
            ("core=-1", -1, -1),
            ("core=5:-1", 5, -1),
        ] {
            let limit = ulimit(text).unwrap();
            assert_eq!((limit.soft, limit.hard), (soft, hard), "{text}");
        }
    }

    #[test]
    fn what_is_no_ulimit_is_refused() {
        for (text, why) in [
            ("nofile", "invalid ulimit argument: nofile"),
            ("files=1", "invalid ulimit type: files"),
            ("nofile=x", "invalid ulimit argument: nofile=x"),
            (
                "nofile=2:1",
                "ulimit soft limit must be less than or equal to hard limit: 2 > 1",
            ),
            (
                "nofile=-1:1",
                "ulimit soft limit must be less than or equal to hard limit: -1 > 1",
            ),
        ] {
            assert_eq!(ulimit(text).unwrap_err().to_string(), why);
        }
    }
}
