//! The functions that every template has.

use std::cmp::Ordering;
use std::fmt::{self, Display, Write};

use super::Value;
use super::budget::{Bounded, MAX_TEXT};

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

impl Value {
    /// Its type, for errors.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Number(_) => "a number",
            Self::Bool(_) => "a bool",
            Self::Fields(_) => "a struct",
            Self::Map(_) => "a map",
        }
    }
}

/// As Go prints it.
impl Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let space = |at| if at > 0 { " " } else { "" };
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
            Self::Bool(bool) => write!(f, "{bool}"),
            Self::Fields(fields) => {
                f.write_str("{")?;
                for (at, value) in fields.values().enumerate() {
                    write!(f, "{}{value}", space(at))?;
                }
                f.write_str("}")
            }
            Self::Map(map) => {
                f.write_str("map[")?;
                for (at, (key, value)) in map.iter().enumerate() {
                    write!(f, "{}{key}:{value}", space(at))?;
                }
                f.write_str("]")
            }
        }
    }
}

/// A text that functions make.
fn made(write: impl FnOnce(&mut Bounded) -> Result<(), Fault>) -> Result<Value, String> {
    let mut out = Bounded::new(MAX_TEXT);
    match write(&mut out) {
        Ok(()) => Ok(Value::Text(out.into_text().into())),
        Err(Fault(reason)) => Err(reason),
    }
}

struct Fault(String);

impl From<fmt::Error> for Fault {
    fn from(_: fmt::Error) -> Self {
        Self("what it makes is too large".to_owned())
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
        ("print", values) => made(|out| print(out, values)),
        ("println", values) => made(|out| println(out, values)),
        ("printf", [Value::Text(format), values @ ..]) => made(|out| printf(out, format, values)),
        ("printf", [_, ..]) => Err("the format is no string".to_owned()),
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
    let mut all = values.iter().chain([separator]);
    if !all.all(|value| matches!(value, Value::Text(_))) {
        return Err("join of what is no string".to_owned());
    }
    made(|out| {
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                write!(out, "{separator}")?;
            }
            write!(out, "{value}")?;
        }
        Ok(())
    })
}

/// A space between two that are both no strings.
fn print(out: &mut Bounded, values: &[Value]) -> Result<(), Fault> {
    let is_text = |value: &Value| matches!(value, Value::Text(_));
    for (at, value) in values.iter().enumerate() {
        if at > 0 && !is_text(value) && !is_text(&values[at - 1]) {
            out.write_str(" ")?;
        }
        write!(out, "{value}")?;
    }
    Ok(())
}

fn println(out: &mut Bounded, values: &[Value]) -> Result<(), Fault> {
    for (at, value) in values.iter().enumerate() {
        let space = if at > 0 { " " } else { "" };
        write!(out, "{space}{value}")?;
    }
    Ok(out.write_str("\n")?)
}

const VERBS: &str = "of verbs it has %v, %s, %q, %d, %t and %%, without flags, width or precision";

fn printf(out: &mut Bounded, format: &str, values: &[Value]) -> Result<(), Fault> {
    let mut values = values.iter();
    let mut rest = format;
    while let Some((text, behind)) = rest.split_once('%') {
        out.write_str(text)?;
        let mut chars = behind.chars();
        let verb = chars.next();
        rest = chars.as_str();
        match verb {
            Some('%') => out.write_str("%")?,
            Some(verb @ ('v' | 's' | 'q' | 'd' | 't')) => match values.next() {
                Some(value) => formatted(out, verb, value)?,
                None => write!(out, "%!{verb}(MISSING)")?,
            },
            Some(_) => return Err(Fault(VERBS.to_owned())),
            None => out.write_str("%!(NOVERB)")?,
        }
    }
    out.write_str(rest)?;
    match values.next() {
        None => Ok(()),
        Some(_) => Err(Fault("it has more arguments than verbs".to_owned())),
    }
}

fn formatted(out: &mut Bounded, verb: char, value: &Value) -> Result<(), Fault> {
    match (verb, value) {
        ('v', _)
        | ('s', Value::Text(_) | Value::Fields(_) | Value::Map(_))
        | ('d', Value::Number(_))
        | ('t', Value::Bool(_)) => Ok(write!(out, "{value}")?),
        ('q', Value::Text(text)) => Ok(write!(out, "{text:?}")?),
        _ => Err(Fault(format!("%{verb} of {}", value.kind()))),
    }
}

fn order(a: &Value, b: &Value) -> Result<Ordering, String> {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => Ok(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => Ok(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Ok(a.cmp(b)),
        _ => Err("incompatible types for comparison".to_owned()),
    }
}
