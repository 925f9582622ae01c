//! The environment of containers: `environment` over `env_file`; and labels
//! from files.

use std::collections::BTreeMap;

use super::super::dotenv::{self, Variable};
use super::super::files::FileError;
use super::super::item::{Fields, Item};
use super::pairs;
use crate::spec::Labels;

type Variables = BTreeMap<String, Option<String>>;

/// A variable without a value has that of the environment of whoever deploys;
/// one of a file that has none there is left out.
pub(super) fn read_environment(fields: &mut Fields<'_>) -> Variables {
    let mut all = fields.or_default("env_file", |item| {
        let mut all = Variables::new();
        for item in item.one_or_many() {
            for (name, value) in read_file(&item)? {
                let value = value.or_else(|| caller(&item, &name));
                all.extend(value.map(|value| (name, Some(value))));
            }
        }
        Some(all)
    });
    let own = fields.or_default("environment", |item| {
        let own = pairs::nullable(item)?.into_iter();
        let with_caller = own.map(|(name, value)| {
            let value = value.or_else(|| caller(item, &name));
            (name, value)
        });
        Some(with_caller.collect::<Variables>())
    });
    all.extend(own);
    all
}

fn caller(item: &Item<'_>, name: &str) -> Option<String> {
    let source = item.context.source(item.node.mark);
    source.environment.get(name).cloned()
}

/// `labels` over `label_file`.
pub(super) fn read_labels(fields: &mut Fields<'_>) -> Labels {
    let mut all = fields.or_default("label_file", |item| {
        let mut all = Labels::new();
        for item in item.one_or_many() {
            let labels = read_file(&item)?.into_iter();
            all.extend(labels.map(|(name, value)| (name, value.unwrap_or_default())));
        }
        Some(all)
    });
    all.extend(fields.or_default("labels", pairs::texts));
    all
}

/// A path, or a `path` with `required` and `format`.
fn read_file(item: &Item<'_>) -> Option<Vec<Variable>> {
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
    let read = match is_raw {
        true => dotenv::parse_raw(&text),
        false => dotenv::parse(&text, &source.environment),
    };
    match read {
        Ok(variables) => Some(variables),
        Err((line, why)) => {
            item.error(format!("{name}:{line}: {why}"));
            None
        }
    }
}
