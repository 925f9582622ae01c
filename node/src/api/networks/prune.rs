//! Which networks a `POST /networks/prune` means.

use jiff::SignedDuration;
use services::Timestamp;

use crate::api::dto::Labels;
use crate::api::error::ApiError;
use crate::api::query::{Filters, Query};

pub struct Prunable {
    filters: Filters,
    until: Option<Timestamp>,
}

impl Prunable {
    /// # Errors
    /// 400 for what is no filter of prune's.
    pub fn by(query: &Query, now: Timestamp) -> Result<Self, ApiError> {
        let filters = query.filters(&["label", "label!", "until"])?;
        let mut times = filters.values("until");
        let until = times.next().map(|text| moment(text, now)).transpose()?;
        if times.next().is_some() {
            return Err(ApiError::bad_request(
                "more than one until filter specified",
            ));
        }
        drop(times);
        Ok(Self { filters, until })
    }

    pub fn matches(&self, created: Timestamp, labels: &Labels) -> bool {
        let mut kept = self.filters.values("label!").peekable();
        let is_kept = kept.peek().is_some() && self.filters.labels("label!", labels);
        self.until.is_none_or(|until| created <= until)
            && self.filters.labels("label", labels)
            && !is_kept
    }
}

/// A Unix time, RFC 3339, or how long ago: `1h30m`.
fn moment(text: &str, now: Timestamp) -> Result<Timestamp, ApiError> {
    let at = |time: jiff::Timestamp| u64::try_from(time.as_nanosecond()).ok();
    let nanos = if let Ok(seconds) = text.parse::<u64>() {
        seconds.checked_mul(1_000_000_000)
    } else if let Ok(time) = text.parse::<jiff::Timestamp>() {
        at(time)
    } else {
        let ago = text.parse::<SignedDuration>().ok();
        ago.and_then(|ago| u64::try_from(ago.as_nanos()).ok())
            .and_then(|ago| now.0.checked_sub(ago))
    };
    nanos.map(Timestamp).ok_or_else(|| {
        ApiError::bad_request(format!(
            "invalid time {text:?}: must be like 2026-01-02T13:23:37Z, or 42m for 42 minutes ago"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(10_000 * 1_000_000_000);

    fn prunable(filters: &str) -> Result<Prunable, ApiError> {
        let uri = format!("/networks/prune?filters={}", filters.replace('"', "%22"));
        Prunable::by(&Query::of(&uri.parse().unwrap()).unwrap(), NOW)
    }

    fn matches(filters: &str, created: u64, label: &str) -> bool {
        let labels = [(label.to_owned(), "b".to_owned())].into();
        let created = Timestamp(created * 1_000_000_000);
        prunable(filters).unwrap().matches(created, &labels)
    }

    #[test]
    fn what_is_younger_than_until_stays() {
        for until in ["1h", "6400", "1970-01-01T01:46:40Z", "60m", "1h0m0s"] {
            let filters = format!(r#"{{"until":["{until}"]}}"#);
            assert!(matches(&filters, 6_400, "a"), "{until}");
            assert!(!matches(&filters, 6_401, "a"), "{until}");
        }
    }

    #[test]
    fn labels_choose_and_protect() {
        assert!(matches(r#"{"label":["a=b"]}"#, 1, "a"));
        assert!(!matches(r#"{"label":["a=c"]}"#, 1, "a"));
        assert!(!matches(r#"{"label!":{"a":true}}"#, 1, "a"));
        assert!(matches(r#"{"label!":{"a":true}}"#, 1, "c"));
    }

    #[test]
    fn a_filter_that_prune_does_not_know_is_refused() {
        for (filters, why) in [
            (r#"{"driver":["x"]}"#, "Invalid filter 'driver'"),
            (
                r#"{"until":["1h","2h"]}"#,
                "more than one until filter specified",
            ),
            (
                r#"{"until":["never"]}"#,
                "invalid time \"never\": must be like 2026-01-02T13:23:37Z, or 42m for 42 \
                 minutes ago",
            ),
        ] {
            let refused = prunable(filters).err().unwrap();
            assert_eq!(
                (refused.status.as_u16(), refused.message.as_str()),
                (400, why)
            );
        }
    }
}
