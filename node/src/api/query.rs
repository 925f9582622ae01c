//! Query strings as Docker reads them: booleans, versions and filters.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use axum::extract::Query as Pairs;
use axum::http::Uri;
use serde::Deserialize;
use services::Id;

use super::error::ApiError;

#[derive(Debug, Clone, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// # Errors
    /// 400 when the query is not in URL encoding.
    pub fn of(uri: &Uri) -> Result<Self, ApiError> {
        Pairs::try_from_uri(uri)
            .map(|Pairs(pairs)| Self(pairs))
            .map_err(|error| ApiError::bad_request(error.body_text()))
    }

    /// The first value of `name`, empty where there is none.
    pub fn text(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value.as_str())
    }

    /// Docker's booleans: all is true but these.
    pub fn flag(&self, name: &str) -> bool {
        let value = self.text(name).trim().to_ascii_lowercase();
        !matches!(value.as_str(), "" | "0" | "no" | "false" | "none")
    }

    /// `?version=`, which an update of `what` must name.
    ///
    /// # Errors
    /// 400 in the words of Go's parser.
    pub fn version(&self, what: &str) -> Result<u64, ApiError> {
        let text = self.text("version");
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| digits).ok_or_else(|| {
            let reason = if digits {
                "value out of range"
            } else {
                "invalid syntax"
            };
            ApiError::bad_request(format!(
                "invalid {what} version '{text}': strconv.ParseUint: parsing {text:?}: {reason}"
            ))
        })
    }

    /// `?filters=`, of which only `known` keys are accepted.
    ///
    /// # Errors
    /// 400 for what is not in either encoding, or an unknown key.
    pub fn filters(&self, known: &[&str]) -> Result<Filters, ApiError> {
        let filters = Filters::parse(self.text("filters"))?;
        match filters.0.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(ApiError::bad_request(format!("Invalid filter '{key}'"))),
            None => Ok(filters),
        }
    }
}

/// Values per key. An object matches a key by one of its values, and all keys
/// must match; an absent key matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, BTreeSet<String>>);

/// `{"k": {"v": true}}` of the CLI, or `{"k": ["v"]}` of docker-py.
#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    Map(BTreeMap<String, bool>),
    List(BTreeSet<String>),
}

impl Filters {
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let read: BTreeMap<String, Values> = serde_json::from_str(text)
            .map_err(|error| ApiError::bad_request(format!("invalid filter: {error}")))?;
        let values = |values| match values {
            Values::Map(map) => map.into_keys().collect(),
            Values::List(list) => list,
        };
        Ok(Self(
            read.into_iter()
                .map(|(key, read)| (key, values(read)))
                .collect(),
        ))
    }

    pub fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.get(key).into_iter().flatten().map(String::as_str)
    }

    /// One of the values satisfies `matches`.
    pub fn any(&self, key: &str, matches: impl Fn(&str) -> bool) -> bool {
        !self.has(key) || self.values(key).any(matches)
    }

    /// Docker's boolean, given as the one value of `key`.
    pub fn flag(&self, key: &str) -> bool {
        self.values(key)
            .any(|value| matches!(value, "1" | "true" | "True"))
    }

    pub fn has(&self, key: &str) -> bool {
        self.values(key).next().is_some()
    }

    /// One of the values is `actual`.
    pub fn equals(&self, key: &str, actual: &str) -> bool {
        self.any(key, |wanted| wanted == actual)
    }

    /// One of the values is a prefix of `actual`, which is written only where there
    /// are values: most lists are not filtered.
    pub fn prefix(&self, key: &str, actual: impl Display) -> bool {
        !self.has(key) || {
            let actual = actual.to_string();
            self.any(key, |wanted| actual.starts_with(wanted))
        }
    }

    /// All values, `name` or `name=value`, are among `labels`.
    pub fn labels(&self, key: &str, labels: &BTreeMap<String, String>) -> bool {
        self.values(key).all(|wanted| match wanted.split_once('=') {
            Some((name, value)) if !value.is_empty() => {
                labels.get(name).is_some_and(|actual| actual == value)
            }
            Some((name, _)) => labels.contains_key(name),
            None => labels.contains_key(wanted),
        })
    }

    /// Of what the values of `key` name; `None` where there are none.
    ///
    /// # Errors
    /// The first that `find` gives.
    pub fn ids<E>(
        &self,
        key: &str,
        find: impl FnMut(&str) -> Result<Id, E>,
    ) -> Result<Option<BTreeSet<Id>>, E> {
        match self.has(key) {
            true => self
                .values(key)
                .map(find)
                .collect::<Result<_, _>>()
                .map(Some),
            false => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn query(text: &str) -> Query {
        Query::of(&format!("/x?{text}").parse().unwrap()).unwrap()
    }

    #[test]
    fn booleans_are_read_as_docker_reads_them() {
        for text in ["a=1", "a=true", "a=True", "a=yes"] {
            assert!(query(text).flag("a"), "{text}");
        }
        for text in ["", "a", "a=", "a=0", "a=False", "a=none", "b=1"] {
            assert!(!query(text).flag("a"), "{text}");
        }
    }

    #[test]
    fn a_version_is_refused_in_gos_words() {
        assert_eq!(query("version=17").version("service"), Ok(17));
        for (text, expected) in [
            (
                "",
                "invalid service version '': strconv.ParseUint: parsing \"\": invalid syntax",
            ),
            (
                "version=+1",
                "invalid service version ' 1': strconv.ParseUint: parsing \" 1\": invalid syntax",
            ),
            (
                "version=18446744073709551616",
                "invalid service version '18446744073709551616': strconv.ParseUint: \
                 parsing \"18446744073709551616\": value out of range",
            ),
        ] {
            let refused = query(text).version("service").unwrap_err();
            assert_eq!(
                (refused.status.as_u16(), refused.message.as_str()),
                (400, expected)
            );
        }
    }

    #[test]
    fn both_encodings_of_filters_mean_the_same() {
        let cli = Filters::parse(r#"{"name":{"web":true,"db":true}}"#).unwrap();
        let docker_py = Filters::parse(r#"{"name":["web","db"]}"#).unwrap();
        assert_eq!(cli, docker_py);
        assert!(cli.prefix("name", "website") && !cli.prefix("name", "cache"));
        assert!(cli.prefix("id", "anything"));
    }

    #[test]
    fn an_unknown_filter_is_refused() {
        let refused = query("filters=%7B%22foo%22%3A%20%5B%22x%22%5D%7D").filters(&["id"]);
        assert_eq!(refused, Err(ApiError::bad_request("Invalid filter 'foo'")));
    }

    #[test]
    fn labels_match_by_name_or_by_value_and_all_of_them() {
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        for (text, expected) in [
            (r#"{"label":["a"]}"#, true),
            (r#"{"label":["a=1"]}"#, true),
            (r#"{"label":["a=2"]}"#, false),
            (r#"{"label":["a","b"]}"#, false),
        ] {
            let filters = Filters::parse(text).unwrap();
            assert_eq!(filters.labels("label", &labels), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_filter_or_refused(text: String) {
            let _ = Filters::parse(&text);
        }
    }
}
