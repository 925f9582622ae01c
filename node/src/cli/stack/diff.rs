//! What differs between two specs, field by field.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::api::dto::Labels;

/// A field that is not the same in both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// `TaskTemplate.ContainerSpec.Image`.
    pub path: String,
    /// Of a list, only what is in one of both.
    pub old: Vec<String>,
    pub new: Vec<String>,
}

/// The lines of each leaf, by its path.
type Flat = BTreeMap<String, Vec<String>>;

/// The fields in which `old` and `new` differ, by their paths.
pub fn fields<T: Serialize>(old: &T, new: &T) -> Vec<Field> {
    // What cannot be written as JSON came from no daemon and goes to none.
    let value = |spec: &T| serde_json::to_value(spec).unwrap_or_default();
    let (mut before, mut after) = (Flat::new(), Flat::new());
    flatten(String::new(), value(old), &mut before);
    flatten(String::new(), value(new), &mut after);
    let mut paths: Vec<&String> = before.keys().chain(after.keys()).collect();
    paths.sort();
    paths.dedup();
    let field = |path: &String| {
        let lines = |side: &Flat| side.get(path).cloned().unwrap_or_default();
        let (old, new) = (lines(&before), lines(&after));
        (old != new).then(|| differing(path, old, new))
    };
    paths.into_iter().filter_map(field).collect()
}

pub fn labels(old: &Labels, new: &Labels) -> Vec<Field> {
    let named = |labels: &Labels| BTreeMap::from([("Labels", labels.clone())]);
    fields(&named(old), &named(new))
}

fn differing(path: &str, old: Vec<String>, new: Vec<String>) -> Field {
    let only_in = |all: &[String], others: &[String]| -> Vec<String> {
        let mine = all.iter().filter(|line| !others.contains(line));
        mine.cloned().collect()
    };
    let (gone, come) = (only_in(&old, &new), only_in(&new, &old));
    // The same in another order, or another number of times.
    let (old, new) = match gone.is_empty() && come.is_empty() {
        true => (old, new),
        false => (gone, come),
    };
    Field {
        path: path.to_owned(),
        old,
        new,
    }
}

/// A leaf has one line, a list one for each of its items. An empty object is
/// as good as none: one that was left out reads the same.
fn flatten(path: String, value: Value, into: &mut Flat) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (key, value) in fields {
                let path = match path.is_empty() {
                    true => key,
                    false => format!("{path}.{key}"),
                };
                flatten(path, value, into);
            }
        }
        Value::Array(items) => {
            into.insert(path, items.into_iter().map(line).collect());
        }
        value => {
            into.insert(path, vec![line(value)]);
        }
    }
}

fn line(value: Value) -> String {
    match value {
        Value::String(text) => text,
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(old: Value, new: Value) -> String {
        let fields = fields(&old, &new);
        let text = fields.iter().map(|field| {
            let Field { path, old, new } = field;
            format!("{path}: -{} +{}\n", old.join("|"), new.join("|"))
        });
        text.collect()
    }

    #[test]
    fn what_is_alike_is_not_told() {
        assert_eq!(
            shown(json!({"a": {"b": [1]}}), json!({"a": {"b": [1]}})),
            ""
        );
        assert_eq!(shown(json!({"a": {}}), json!({"b": null})), "");
    }

    #[test]
    fn fields_are_told_by_their_paths_and_lists_by_their_items() {
        let old = json!({"Image": "a:1", "Env": ["A=1", "B=2"], "Mode": {"Replicas": 1}});
        let new =
            json!({"Image": "a:2", "Env": ["A=1", "B=3", "C"], "Mode": {"Global": {"x": true}}});
        insta::assert_snapshot!(shown(old, new), @r#"
        Env: -B=2 +B=3|C
        Image: -a:1 +a:2
        Mode.Global.x: - +true
        Mode.Replicas: -1 +
        "#);
        let order = shown(json!({"Args": ["a", "b"]}), json!({"Args": ["b", "a"]}));
        assert_eq!(order, "Args: -a|b +b|a\n");
    }
}
