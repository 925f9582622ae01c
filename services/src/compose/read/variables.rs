//! The environment of containers: `environment` over `env_file`; and labels
//! from files.

use std::collections::BTreeMap;

use super::super::budget::Budget;
use super::super::dotenv::{self, Parsed, Variable};
use super::super::files::FileError;
use super::super::include::unset;
use super::super::item::{Fields, Item};
use super::super::node::Mark;
use super::pairs;
use crate::spec::Labels;

type Variables = BTreeMap<String, Option<String>>;

/// A variable without a value has that of the environment of whoever deploys;
/// one of a file that has none there is left out. Files may use what is said
/// before them.
pub(super) fn read_environment(fields: &mut Fields<'_>) -> Variables {
    let own = fields.or_default("environment", |item| {
        let own = pairs::marked(item)?.into_iter();
        let with_caller = own.map(|(name, value, mark)| {
            let value = value.or_else(|| caller(item, mark, &name));
            (name, value)
        });
        Some(with_caller.collect::<Variables>())
    });
    let mut all = fields.or_default("env_file", |item| {
        let mut all = Variables::new();
        for item in item.one_or_many() {
            let known = |name: &str| {
                let said = own.get(name).or_else(|| all.get(name));
                said.and_then(|value| value.as_deref())
            };
            for (name, value) in read_file(&item, known)? {
                let value = value.or_else(|| caller(&item, item.node.mark, &name));
                all.extend(value.map(|value| (name, Some(value))));
            }
        }
        Some(all)
    });
    all.extend(own);
    all
}

/// What the environment says that the text at `mark` is read with.
fn caller(item: &Item<'_>, mark: Mark, name: &str) -> Option<String> {
    let source = item.context.source(mark);
    source.environment.get(name).cloned()
}

/// `labels` over `label_file`.
pub(super) fn read_labels(fields: &mut Fields<'_>) -> Labels {
    let mut all = fields.or_default("label_file", |item| {
        let mut all = Labels::new();
        for item in item.one_or_many() {
            let labels = read_file(&item, |_| None)?.into_iter();
            all.extend(labels.map(|(name, value)| (name, value.unwrap_or_default())));
        }
        Some(all)
    });
    all.extend(fields.or_default("labels", pairs::texts));
    all
}

/// A path, or a `path` with `required` and `format`. Its values may use those
/// that are `known`.
fn read_file<'k>(
    item: &Item<'_>,
    known: impl Fn(&str) -> Option<&'k str>,
) -> Option<Vec<Variable>> {
    let (path, is_required, is_raw) = match item.node.as_map() {
        None => (item.word()?, true, false),
        Some(_) => {
            let mut fields = item.fields()?;
            let path = fields.get("path", Item::word);
            if fields.item("path").is_none() {
                item.error("`path` must name the file");
            }
            let is_required = fields.get("required", Item::boolean).unwrap_or(true);
            let is_raw = fields.or_default("format", |item| item.one_of(&[("raw", true)]));
            fields.finish();
            (path?, is_required, is_raw)
        }
    };
    let context = item.context;
    let source = context.source(item.node.mark);
    let path = source.resolve(&path);
    let name = context.name(&path);
    let text = match context.read(&path) {
        Ok(text) => text,
        Err(FileError::Missing) if !is_required => return Some(Vec::new()),
        Err(why) => {
            item.error(format!("{name} cannot be read: {why}"));
            return None;
        }
    };
    if !context.budget.spend(text.len()) {
        item.error(Budget::SPENT);
        return None;
    }
    let environment = |name: &str| {
        let set = source.environment.get(name).map(String::as_str);
        set.or_else(|| known(name))
    };
    let read = match is_raw {
        true => dotenv::parse_raw(&text).map(|variables| Parsed {
            variables,
            unset: Vec::new(),
        }),
        false => dotenv::parse(&text, environment),
    };
    match read {
        Ok(parsed) => {
            for (line, variable) in parsed.unset {
                item.warn(format!("{name}:{line}: {}", unset(&variable)));
            }
            let values = parsed.variables.iter();
            let lengths =
                values.map(|(name, value)| name.len() + value.as_ref().map_or(0, String::len));
            if !context.budget.spend(lengths.sum()) {
                item.error(Budget::SPENT);
                return None;
            }
            Some(parsed.variables)
        }
        Err((line, why)) => {
            item.error(format!("{name}:{line}: {why}"));
            None
        }
    }
}
