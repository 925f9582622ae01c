//! YAML as the loader works on it: a tree of which every piece knows its place.

use std::collections::BTreeMap;

/// A place in one of the loader's sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Mark {
    /// Counts the sources in the order in which they were opened.
    pub source: usize,
    /// From one; zero is the source as a whole.
    pub line: usize,
    /// In characters, from one.
    pub column: usize,
}

impl Mark {
    pub const NOWHERE: Self = Self {
        source: usize::MAX,
        line: 0,
        column: 0,
    };
}

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub value: Value,
    pub mark: Mark,
    pub tag: Option<Tag>,
}

/// What a file says of how it is merged over those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    /// `!reset`: as if nobody had said it.
    Reset,
    /// `!override`: this, and nothing of what was said before.
    Override,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Map),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scalar {
    pub text: String,
    /// Written without quotes, so that `null` is nothing and no text.
    pub is_plain: bool,
}

pub(super) type Map = BTreeMap<String, Entry>;

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub key: Mark,
    pub node: Node,
}

impl Node {
    pub fn new(value: Value, mark: Mark) -> Self {
        Self {
            value,
            mark,
            tag: None,
        }
    }

    pub fn text(text: impl Into<String>, mark: Mark) -> Self {
        let scalar = Scalar {
            text: text.into(),
            is_plain: false,
        };
        Self::new(Value::Scalar(scalar), mark)
    }

    pub fn null(mark: Mark) -> Self {
        let scalar = Scalar {
            text: String::new(),
            is_plain: true,
        };
        Self::new(Value::Scalar(scalar), mark)
    }

    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.is_null())
    }

    pub fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) if !scalar.is_null() => Some(&scalar.text),
            _ => None,
        }
    }

    /// What a map has under `key`, where that is not null.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let entry = self.as_map()?.get(key)?;
        Some(&entry.node).filter(|node| !node.is_null())
    }

    /// For texts about what is there and should not be.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Scalar(scalar) if scalar.is_null() => "nothing",
            Value::Scalar(_) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// Whether both say the same, wherever they are.
    pub fn says_the_same(&self, other: &Self) -> bool {
        match (&self.value, &other.value) {
            (Value::Scalar(one), Value::Scalar(other)) => one == other,
            (Value::List(one), Value::List(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.says_the_same(b))
            }
            (Value::Map(one), Value::Map(other)) => {
                one.len() == other.len()
                    && one
                        .iter()
                        .zip(other)
                        .all(|((key, a), (same, b))| key == same && a.node.says_the_same(&b.node))
            }
            _ => false,
        }
    }
}

impl Scalar {
    pub fn is_null(&self) -> bool {
        self.is_plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}
