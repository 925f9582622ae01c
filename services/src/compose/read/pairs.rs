//! `NAME=value` in a list, or a mapping of names and values.

use std::collections::BTreeMap;

use super::super::item::Item;
use super::super::node::{Mark, Value};
use super::super::yaml::MAX_KEY;
use crate::spec::Driver;

/// A name, a value that may be nothing, and where it stands.
type Marked = (String, Option<String>, Mark);

pub(super) fn marked(item: &Item<'_>) -> Option<Vec<Marked>> {
    let mut pairs = Vec::new();
    if item.node.as_map().is_some() {
        for (name, item) in item.entries()? {
            let value = match item.node.is_null() {
                true => None,
                false => Some(item.text()?),
            };
            pairs.push((name.to_owned(), value, item.node.mark));
        }
        return Some(pairs);
    }
    if !matches!(item.node.value, Value::List(_)) {
        item.error(format!(
            "this must be a mapping or a list, not {}",
            item.node.kind()
        ));
        return None;
    }
    for item in item.list()? {
        let Some(text) = item.str() else {
            continue;
        };
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        if name.is_empty() || name.len() > MAX_KEY {
            item.error(format!("a name has 1 to {MAX_KEY} bytes"));
            continue;
        }
        pairs.push((name.to_owned(), value, item.node.mark));
    }
    Some(pairs)
}

/// With the empty text for what has no value, as of labels.
pub(super) fn texts(item: &Item<'_>) -> Option<BTreeMap<String, String>> {
    let pairs = marked(item)?.into_iter();
    Some(
        pairs
            .map(|(name, value, _)| (name, value.unwrap_or_default()))
            .collect(),
    )
}

/// A mapping of options.
pub(super) fn options(item: &Item<'_>) -> Option<BTreeMap<String, String>> {
    item.map()?;
    texts(item)
}

/// A driver and its options; `None` where neither is said.
pub(super) fn driver(
    name: Option<String>,
    options: Option<BTreeMap<String, String>>,
) -> Option<Driver> {
    if name.is_none() && options.as_ref().is_none_or(BTreeMap::is_empty) {
        return None;
    }
    Some(Driver {
        name: name.unwrap_or_default(),
        options: options.unwrap_or_default(),
    })
}
