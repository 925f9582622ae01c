//! The functions that every template has.

use std::cmp::Ordering;

use super::Value;

const KNOWN: &[&str] = &[
    "and", "eq", "ge", "gt", "index", "join", "le", "len", "lt", "ne", "not", "or", "print",
    "printf", "println",
];

pub(super) fn is_known(name: &str) -> bool {
    KNOWN.contains(&name)
}

/// Go's truth: what is not empty.
pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Text(text) => !text.is_empty(),
        Value::Number(number) => *number != 0,
        Value::Bool(bool) => *bool,
        Value::Fields(_) => true,
        Value::Map(map) => !map.is_empty(),
    }
}

/// As Go prints it.
pub(super) fn show(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(bool) => bool.to_string(),
        Value::Fields(fields) => {
            let shown: Vec<String> = fields.values().map(show).collect();
            format!("{{{}}}", shown.join(" "))
        }
        Value::Map(map) => {
            let shown: Vec<String> = map.iter().map(|(k, v)| format!("{k}:{v}")).collect();
            format!("map[{}]", shown.join(" "))
        }
    }
}

/// # Errors
/// Why it cannot be called so.
pub(super) fn call(name: &str, arguments: &[Value]) -> Result<Value, String> {
    let wrong = || {
        Err(format!(
            "wrong number of args for {name}: {}",
            arguments.len()
        ))
    };
    match (name, arguments) {
        ("and", [first, rest @ ..]) => Ok(chosen(first, rest, |it| !is_true(it))),
        ("or", [first, rest @ ..]) => Ok(chosen(first, rest, is_true)),
        ("not", [value]) => Ok(Value::Bool(!is_true(value))),
        ("len", [value]) => len(value),
        ("index", [value, keys @ ..]) => index(value, keys),
        ("join", [values @ .., separator]) => join(values, separator),
        ("print", values) => Ok(Value::Text(print(values))),
        ("println", values) => {
            let shown: Vec<String> = values.iter().map(show).collect();
            Ok(Value::Text(format!("{}\n", shown.join(" "))))
        }
        ("printf", [Value::Text(format), values @ ..]) => Ok(Value::Text(printf(format, values))),
        ("printf", [_, ..]) => Err("printf: the format is no string".to_owned()),
        ("eq", [first, others @ ..]) if !others.is_empty() => {
            let mut equal = false;
            for other in others {
                equal |= order(first, other)? == Ordering::Equal;
            }
            Ok(Value::Bool(equal))
        }
        ("ne", [a, b]) => Ok(Value::Bool(order(a, b)? != Ordering::Equal)),
        ("lt", [a, b]) => Ok(Value::Bool(order(a, b)?.is_lt())),
        ("le", [a, b]) => Ok(Value::Bool(order(a, b)?.is_le())),
        ("gt", [a, b]) => Ok(Value::Bool(order(a, b)?.is_gt())),
        ("ge", [a, b]) => Ok(Value::Bool(order(a, b)?.is_ge())),
        _ => wrong(),
    }
}

/// The first that decides, else the last.
fn chosen(first: &Value, rest: &[Value], decides: impl Fn(&Value) -> bool) -> Value {
    let mut all = std::iter::once(first).chain(rest);
    let last = rest.last().unwrap_or(first);
    all.find(|it| decides(it)).unwrap_or(last).clone()
}

fn len(value: &Value) -> Result<Value, String> {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::Map(map) => map.len(),
        _ => return Err("len of a value that has no length".to_owned()),
    };
    Ok(Value::Number(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn index(value: &Value, keys: &[Value]) -> Result<Value, String> {
    match (value, keys) {
        (value, []) => Ok(value.clone()),
        // As in Go, a key that is not there is the empty string here.
        (Value::Map(map), [Value::Text(key)]) => {
            Ok(Value::Text(map.get(key).cloned().unwrap_or_default()))
        }
        _ => Err("can't index item of this type".to_owned()),
    }
}

/// swarmkit's own, with lists that templates have no way to make: the strings
/// themselves.
fn join(values: &[Value], separator: &Value) -> Result<Value, String> {
    let text = |value: &Value| match value {
        Value::Text(text) => Ok(text.clone()),
        _ => Err("join of what is no string".to_owned()),
    };
    let separator = text(separator)?;
    let texts: Result<Vec<String>, String> = values.iter().map(text).collect();
    Ok(Value::Text(texts?.join(&separator)))
}

/// A space between two that are both no strings.
fn print(values: &[Value]) -> String {
    let mut out = String::new();
    let is_text = |value: &Value| matches!(value, Value::Text(_));
    for (at, value) in values.iter().enumerate() {
        if at > 0 && !is_text(value) && !is_text(&values[at - 1]) {
            out.push(' ');
        }
        out.push_str(&show(value));
    }
    out
}

fn printf(format: &str, values: &[Value]) -> String {
    let mut out = String::new();
    let mut values = values.iter();
    let mut chars = format.chars();
    while let Some(char) = chars.next() {
        if char != '%' {
            out.push(char);
            continue;
        }
        match (chars.next(), values.as_slice().first()) {
            (Some('%'), _) => out.push('%'),
            (Some(verb), None) => out.push_str(&format!("%!{verb}(MISSING)")),
            (None, _) => out.push_str("%!(NOVERB)"),
            (Some(verb), Some(value)) => {
                values.next();
                match (verb, value) {
                    ('v', value) => out.push_str(&show(value)),
                    ('s', Value::Text(text)) => out.push_str(text),
                    ('q', Value::Text(text)) => out.push_str(&format!("{text:?}")),
                    ('d', Value::Number(number)) => out.push_str(&number.to_string()),
                    ('t', Value::Bool(bool)) => out.push_str(&bool.to_string()),
                    (verb, value) => out.push_str(&format!("%!{verb}({})", show(value))),
                }
            }
        }
    }
    out
}

fn order(a: &Value, b: &Value) -> Result<Ordering, String> {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => Ok(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => Ok(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Ok(a.cmp(b)),
        _ => Err("incompatible types for comparison".to_owned()),
    }
}
