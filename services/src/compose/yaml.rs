//! From the text of a file to its tree. Anchors are put where they are used,
//! `<<` is merged, and both are bounded: what a small file can grow to, how
//! deep it goes.

use std::collections::BTreeMap;

use granit_parser::{Event, Parser, ScalarStyle};

use super::budget::{Budget, MAP_WEIGHT, NODE_WEIGHT};
use super::node::{Entry, Map, Mark, Node, Scalar, Tag, Value};

/// How many collections may be within each other.
const MAX_DEPTH: usize = 48;
/// How many documents a file may have.
const MAX_DOCUMENTS: usize = 64;
/// Bytes of a key, and of a name that is written as one.
pub(super) const MAX_KEY: usize = 1000;

/// Why a text is no YAML, and where.
#[derive(Debug)]
pub(super) struct Malformed {
    pub mark: Mark,
    pub text: String,
}

/// The documents of a file; none for an empty one. They may take as much as
/// `budget` holds, their aliases followed.
pub(super) fn parse(text: &str, source: usize, budget: &Budget) -> Result<Vec<Node>, Malformed> {
    let options = granit_parser::options! {
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder {
        open: Vec::new(),
        anchors: BTreeMap::new(),
        budget,
        documents: Vec::new(),
    };
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| Malformed {
            mark: mark(source, error.marker()),
            text: format!("this is no YAML: {}", error.info()),
        })?;
        builder.take(event, mark(source, &span.start))?;
    }
    Ok(builder.documents)
}

fn mark(source: usize, marker: &granit_parser::Marker) -> Mark {
    Mark {
        source,
        line: marker.line(),
        column: marker.col() + 1,
    }
}

struct Builder<'a> {
    open: Vec<Open>,
    anchors: BTreeMap<usize, Part>,
    budget: &'a Budget,
    documents: Vec<Node>,
}

/// A whole piece of a tree, with what the bounds need to know of it.
#[derive(Clone)]
struct Part {
    node: Node,
    height: usize,
    weight: usize,
}

/// A collection of which not all has been read.
struct Open {
    mark: Mark,
    tag: Option<Tag>,
    anchor: usize,
    content: Content,
    height: usize,
    weight: usize,
}

enum Content {
    List(Vec<Node>),
    Map {
        map: Map,
        key: Option<Key>,
        /// The values of `<<`.
        merged: Option<Node>,
    },
}

struct Key {
    name: String,
    mark: Mark,
    /// `<<`; with quotes it is a name.
    merges: bool,
}

const MERGE: &str = "<<";

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, mark: Mark) -> Result<(), Malformed> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_core_text = tag
                    .as_deref()
                    .is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
                let tag = read_tag(tag.as_deref(), mark)?;
                let scalar = Scalar {
                    text: text.into_owned(),
                    is_plain: style == ScalarStyle::Plain && !is_core_text,
                };
                let weight = NODE_WEIGHT + scalar.text.len();
                self.spend(weight, mark)?;
                let value = Value::Scalar(scalar);
                let node = Node { value, mark, tag };
                self.add(
                    anchor,
                    Part {
                        node,
                        height: 0,
                        weight,
                    },
                )
            }
            Event::SequenceStart(_, anchor, tag) => {
                let tag = read_tag(tag.as_deref(), mark)?;
                self.begin(mark, tag, anchor, Content::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                let tag = read_tag(tag.as_deref(), mark)?;
                self.spend(MAP_WEIGHT, mark)?;
                let content = Content::Map {
                    map: Map::new(),
                    key: None,
                    merged: None,
                };
                self.begin(mark, tag, anchor, content)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(part) => {
                    let mut part = part.clone();
                    self.spend(part.weight, mark)?;
                    part.node.mark = mark;
                    self.add(0, part)
                }
                None => malformed(mark, "an anchor cannot be used within itself"),
            },
            Event::DocumentStart(..) => {
                self.anchors.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn begin(
        &mut self,
        mark: Mark,
        tag: Option<Tag>,
        anchor: usize,
        content: Content,
    ) -> Result<(), Malformed> {
        if matches!(
            self.open.last(),
            Some(Open {
                content: Content::Map { key: None, .. },
                ..
            })
        ) {
            return malformed(mark, "a key must be a text");
        }
        self.spend(NODE_WEIGHT, mark)?;
        let weight = match &content {
            Content::List(_) => NODE_WEIGHT,
            Content::Map { .. } => NODE_WEIGHT + MAP_WEIGHT,
        };
        self.open.push(Open {
            mark,
            tag,
            anchor,
            content,
            height: 0,
            weight,
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Malformed> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let value = match open.content {
            Content::List(list) => Value::List(list),
            Content::Map {
                mut map, merged, ..
            } => {
                if let Some(base) = merged {
                    merge_key(&mut map, base)?;
                }
                Value::Map(map)
            }
        };
        let node = Node {
            value,
            mark: open.mark,
            tag: open.tag,
        };
        let part = Part {
            node,
            height: open.height + 1,
            weight: open.weight,
        };
        self.add(open.anchor, part)
    }

    fn spend(&mut self, weight: usize, mark: Mark) -> Result<(), Malformed> {
        match self.budget.spend(weight) {
            true => Ok(()),
            false => malformed(mark, Budget::SPENT),
        }
    }

    /// A whole piece, to where it belongs.
    fn add(&mut self, anchor: usize, part: Part) -> Result<(), Malformed> {
        let mark = part.node.mark;
        if self.open.len() + part.height > MAX_DEPTH {
            let text = format!("more than {MAX_DEPTH} levels are within each other");
            return malformed(mark, text);
        }
        if anchor != 0 {
            self.spend(part.weight, mark)?;
            self.anchors.insert(anchor, part.clone());
        }
        let Some(open) = self.open.last_mut() else {
            if self.documents.len() >= MAX_DOCUMENTS {
                let text = format!("a file has at most {MAX_DOCUMENTS} documents");
                return malformed(mark, text);
            }
            self.documents.push(part.node);
            return Ok(());
        };
        open.height = open.height.max(part.height);
        open.weight += part.weight;
        match &mut open.content {
            Content::List(list) => list.push(part.node),
            Content::Map { map, key, merged } => match key.take() {
                None => *key = Some(read_key(part.node)?),
                Some(Key {
                    mark, merges: true, ..
                }) => {
                    if merged.replace(part.node).is_some() {
                        return malformed(mark, "`<<` is there twice: write `<<: [*one, *two]`");
                    }
                }
                Some(Key { name, mark, .. }) => {
                    if let Some(before) = map.get(&name) {
                        let text =
                            format!("{name:?} is there already, in line {}", before.key.line);
                        return malformed(mark, text);
                    }
                    map.insert(
                        name,
                        Entry {
                            key: mark,
                            node: part.node,
                        },
                    );
                }
            },
        }
        Ok(())
    }
}

fn read_key(node: Node) -> Result<Key, Malformed> {
    let mark = node.mark;
    match node.value {
        Value::Scalar(scalar) if scalar.text.len() > MAX_KEY => {
            malformed(mark, format!("a key has at most {MAX_KEY} bytes"))
        }
        Value::Scalar(scalar) if !scalar.is_null() => Ok(Key {
            merges: scalar.is_plain && scalar.text == MERGE,
            name: scalar.text,
            mark,
        }),
        _ => malformed(mark, "a key must be a text"),
    }
}

/// Lays a mapping, or several, under what `map` says itself.
fn merge_key(map: &mut Map, base: Node) -> Result<(), Malformed> {
    let bases = match base.value {
        Value::List(list) => list,
        _ => vec![base],
    };
    for base in bases {
        let Value::Map(base) = base.value else {
            return malformed(base.mark, "`<<` takes a mapping or a list of them");
        };
        for (name, entry) in base {
            map.entry(name).or_insert(entry);
        }
    }
    Ok(())
}

fn read_tag(tag: Option<&granit_parser::Tag>, mark: Mark) -> Result<Option<Tag>, Malformed> {
    let Some(tag) = tag else {
        return Ok(None);
    };
    match (tag.handle(), tag.suffix()) {
        ("!", "reset") => Ok(Some(Tag::Reset)),
        ("!", "override") => Ok(Some(Tag::Override)),
        ("!" | "", "" | "!") => Ok(None),
        _ if ["str", "int", "float", "bool", "null", "seq", "map"]
            .iter()
            .any(|known| tag.is_yaml_core_schema_tag(known)) =>
        {
            Ok(None)
        }
        _ => malformed(
            mark,
            format!(
                "unknown tag {}: there are !reset and !override",
                tag.original()
            ),
        ),
    }
}

fn malformed<T>(mark: Mark, text: impl Into<String>) -> Result<T, Malformed> {
    Err(Malformed {
        mark,
        text: text.into(),
    })
}
