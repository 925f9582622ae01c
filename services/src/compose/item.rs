//! Reading a tree: each piece with its path, every mistake noted where it is.
//!
//! A reader answers `None` after it has noted what is wrong, so that the rest
//! of a file is read all the same.

use std::fmt::Display;
use std::rc::Rc;
use std::str::FromStr;

use super::context::Context;
use super::nearest::nearest;
use super::node::{Entry, Map, Mark, Node, Value};
use crate::text::{self, Invalid};

/// A node, and where in the project it is.
#[derive(Clone)]
pub(super) struct Item<'a> {
    pub node: &'a Node,
    /// Where what holds it is; shared by all that it holds.
    parent: Rc<str>,
    step: Step<'a>,
    pub context: &'a Context<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Here,
    Key(&'a str),
    Index(usize),
}

impl<'a> Item<'a> {
    pub fn new(node: &'a Node, path: &str, context: &'a Context<'a>) -> Self {
        Self {
            node,
            parent: path.into(),
            step: Step::Here,
            context,
        }
    }

    /// `services.web.ports[0]`.
    pub fn path(&self) -> String {
        let parent = &self.parent;
        match self.step {
            Step::Here => parent.to_string(),
            Step::Key(key) => joined(parent, key),
            Step::Index(at) => format!("{parent}[{at}]"),
        }
    }

    pub fn error(&self, text: impl Into<String>) {
        self.context.error(self.node.mark, &self.path(), text);
    }

    pub fn warn(&self, text: impl Into<String>) {
        self.context.warn(self.node.mark, &self.path(), text);
    }

    /// Any single value, as it was written.
    pub fn text(&self) -> Option<String> {
        self.str().map(str::to_owned)
    }

    pub fn str(&self) -> Option<&'a str> {
        let text = self.node.as_text();
        if text.is_none() {
            self.error(format!("this must be a text, not {}", self.node.kind()));
        }
        text
    }

    /// A text that is not empty.
    pub fn word(&self) -> Option<String> {
        let text = self.text()?;
        if text.is_empty() {
            self.error("this must not be empty");
            return None;
        }
        Some(text)
    }

    /// A text, of which the empty one is as none: what a variable leaves that
    /// nobody set.
    pub fn optional(&self) -> Option<String> {
        self.text().filter(|text| !text.is_empty())
    }

    /// A text that `parse` understands.
    pub fn parsed<T, E: Display>(&self, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        match parse(self.str()?) {
            Ok(value) => Some(value),
            Err(why) => {
                self.error(why.to_string());
                None
            }
        }
    }

    /// A word that stands for a value.
    pub fn value<T: FromStr<Err = text::Invalid>>(&self) -> Option<T> {
        self.parsed(str::parse)
    }

    pub fn boolean(&self) -> Option<bool> {
        self.parsed(truth)
    }

    pub fn number<T>(&self, least: T, most: T) -> Option<T>
    where
        T: FromStr + Display + PartialOrd,
    {
        self.parsed(|text| match text.parse::<T>() {
            Ok(number) if number >= least && number <= most => Ok(number),
            _ => Err(format!("{text:?} is no number from {least} to {most}")),
        })
    }

    /// One of the texts that `known` gives a meaning.
    pub fn one_of<T: Copy>(&self, known: &[(&str, T)]) -> Option<T> {
        let text = self.str()?;
        let found = known.iter().find(|(name, _)| *name == text);
        if found.is_none() {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            self.error(format!("{text:?} is none of {}", names.join(", ")));
        }
        found.map(|(_, value)| *value)
    }

    pub fn list(&self) -> Option<Vec<Self>> {
        let Value::List(list) = &self.node.value else {
            self.error(format!("this must be a list, not {}", self.node.kind()));
            return None;
        };
        Some(self.items(list))
    }

    fn items(&self, list: &'a [Node]) -> Vec<Self> {
        let parent: Rc<str> = self.path().into();
        let item = |(at, node)| Self {
            node,
            parent: Rc::clone(&parent),
            step: Step::Index(at),
            context: self.context,
        };
        list.iter().enumerate().map(item).collect()
    }

    /// A list, or the one thing that would be in it.
    pub fn one_or_many(&self) -> Vec<Self> {
        match &self.node.value {
            Value::List(list) => self.items(list),
            _ => vec![self.clone()],
        }
    }

    /// A list of which `read` understands each entry.
    pub fn list_of<T>(&self, read: impl Fn(&Self) -> Option<T>) -> Option<Vec<T>> {
        let items = self.list()?;
        Some(items.iter().filter_map(read).collect())
    }

    /// The same of a list or a single thing.
    pub fn many_of<T>(&self, read: impl Fn(&Self) -> Option<T>) -> Option<Vec<T>> {
        Some(self.one_or_many().iter().filter_map(read).collect())
    }

    pub fn map(&self) -> Option<&'a Map> {
        let map = self.node.as_map();
        if map.is_none() {
            self.error(format!("this must be a mapping, not {}", self.node.kind()));
        }
        map
    }

    /// What a mapping holds whose keys are names, for which there are no
    /// extensions.
    pub fn entries(&self) -> Option<Vec<(&'a str, Self)>> {
        let map = self.map()?;
        let parent: Rc<str> = self.path().into();
        let entry = |(name, entry): (&'a String, &'a Entry)| {
            let item = Self {
                node: &entry.node,
                parent: Rc::clone(&parent),
                step: Step::Key(name),
                context: self.context,
            };
            (name.as_str(), item)
        };
        Some(map.iter().map(entry).collect())
    }

    /// A mapping of certain keys.
    pub fn fields(&self) -> Option<Fields<'a>> {
        let map = self.map()?;
        Some(Fields {
            item: self.clone(),
            path: self.path().into(),
            map,
            known: Vec::new(),
        })
    }
}

/// YAML 1.1, which Docker's files are still written in, says yes and on.
pub(super) fn truth(text: &str) -> Result<bool, Invalid> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "on" | "y" => Ok(true),
        "no" | "off" | "n" => Ok(false),
        _ => text::boolean(text),
    }
}

fn joined(parent: &str, key: &str) -> String {
    let dot = if parent.is_empty() { "" } else { "." };
    format!("{parent}{dot}{key}")
}

pub(super) fn is_extension(name: &str) -> bool {
    name.starts_with("x-")
}

/// A mapping of which the keys are known. What nobody asked for before
/// [`finish`](Self::finish) is a mistake.
pub(super) struct Fields<'a> {
    pub item: Item<'a>,
    path: Rc<str>,
    map: &'a Map,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// What is there and not null.
    pub fn item(&mut self, name: &'static str) -> Option<Item<'a>> {
        self.known.push(name);
        let entry = self.map.get(name)?;
        let item = Item {
            node: &entry.node,
            parent: Rc::clone(&self.path),
            step: Step::Key(name),
            context: self.item.context,
        };
        (!item.node.is_null()).then_some(item)
    }

    pub fn get<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Item<'a>) -> Option<T>,
    ) -> Option<T> {
        self.item(name).and_then(|item| read(&item))
    }

    pub fn or_default<T: Default>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Item<'a>) -> Option<T>,
    ) -> T {
        self.get(name, read).unwrap_or_default()
    }

    /// The place of a key, for what is wrong with its being there.
    pub fn key(&self, name: &str) -> Mark {
        self.map.get(name).map_or(self.item.node.mark, |it| it.key)
    }

    pub fn error_at(&self, name: &str, text: impl Into<String>) {
        let path = joined(&self.path, name);
        self.item.context.error(self.key(name), &path, text);
    }

    pub fn warn_at(&self, name: &str, text: impl Into<String>) {
        let path = joined(&self.path, name);
        self.item.context.warn(self.key(name), &path, text);
    }

    pub fn finish(self) {
        let strange = self
            .map
            .keys()
            .filter(|name| !is_extension(name) && !self.known.contains(&name.as_str()));
        for name in strange {
            let has_room = self.item.context.has_room();
            let known = self.known.iter().copied().filter(|_| has_room);
            let text = match nearest(name, known) {
                Some(near) => format!("unknown key; did you mean {near:?}?"),
                None => "unknown key".to_owned(),
            };
            self.error_at(name, text);
        }
    }
}
