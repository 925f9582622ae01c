//! `NAME=value` in a list, or a mapping of names and values.

use std::collections::BTreeMap;

use super::super::item::Item;
use super::super::node::Value;
use crate::spec::Driver;

/// With values that may be nothing.
pub(super) fn nullable(item: &Item<'_>) -> Option<BTreeMap<String, Option<String>>> {
    let mut pairs = BTreeMap::new();
    if item.node.as_map().is_some() {
        for (name, item) in item.entries()? {
            let value = match item.node.is_null() {
                true => None,
                false => Some(item.text()?),
            };
            pairs.insert(name.to_owned(), value);
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
        if name.is_empty() {
            item.error(format!("{text:?} has no name"));
            continue;
        }
        pairs.insert(name.to_owned(), value);
    }
    Some(pairs)
}

/// With the empty text for what has no value, as of labels.
pub(super) fn texts(item: &Item<'_>) -> Option<BTreeMap<String, String>> {
    let pairs = nullable(item)?.into_iter();
    Some(
        pairs
            .map(|(name, value)| (name, value.unwrap_or_default()))
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
