//! A project as a file again: one that loads to the same project.

mod service;
mod text;
mod top;

use std::collections::BTreeMap;
use std::time::Duration;

use super::model::Project;
use super::node::Node;
use crate::spec::Driver;
use crate::text::Nanos;
use text::{Yaml, render};

impl Project {
    /// The project in YAML, everything in its long form and every path
    /// absolute.
    pub fn to_yaml(&self) -> String {
        let mut fields = Fields::default();
        fields.text("name", self.name.as_ref());
        let services = self.services.iter();
        let services = services.map(|(name, it)| (name.clone(), service::service(it)));
        fields.nested("services", Some(Yaml::Map(services.collect())));
        fields.named("networks", &self.networks, top::network);
        fields.named("volumes", &self.volumes, top::volume);
        fields.named("secrets", &self.secrets, top::file_object);
        fields.named("configs", &self.configs, top::file_object);
        render(&fields.done())
    }
}

/// A tree in YAML, as it was written.
pub(super) fn as_written(node: &Node) -> String {
    render(&Yaml::from(node))
}

/// A mapping that is being written. What is not said is left out.
#[derive(Default)]
struct Fields(Vec<(String, Yaml)>);

impl Fields {
    fn done(self) -> Yaml {
        Yaml::Map(self.0)
    }

    /// Left out where it says nothing.
    fn put(&mut self, name: &str, value: Yaml) {
        let is_empty = match &value {
            Yaml::Map(map) => map.is_empty(),
            Yaml::List(list) => list.is_empty(),
            _ => false,
        };
        if !is_empty {
            self.0.push((name.to_owned(), value));
        }
    }

    fn text(&mut self, name: &str, text: Option<impl AsRef<str>>) {
        if let Some(text) = text {
            self.put(name, Yaml::text(text.as_ref()));
        }
    }

    /// What needs no quotes: numbers, `true`.
    fn plain(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.put(name, Yaml::plain(value));
        }
    }

    /// A number that zero says nothing of.
    fn amount(&mut self, name: &str, amount: i64) {
        self.plain(name, Some(amount).filter(|amount| *amount != 0));
    }

    fn flag(&mut self, name: &str, is_set: bool) {
        self.plain(name, is_set.then_some(true));
    }

    fn duration(&mut self, name: &str, duration: Option<Duration>) {
        let nanos = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        self.plain(name, duration.map(|duration| Nanos(nanos(duration))));
    }

    fn texts<'a>(&mut self, name: &str, texts: impl IntoIterator<Item = &'a String>) {
        let texts = texts.into_iter().map(|it| Yaml::text(it));
        self.put(name, Yaml::List(texts.collect()));
    }

    fn pairs(&mut self, name: &str, pairs: &BTreeMap<String, String>) {
        let pairs = pairs.iter();
        let pairs = pairs.map(|(name, value)| (name.clone(), Yaml::text(value)));
        self.put(name, Yaml::Map(pairs.collect()));
    }

    fn list<T>(&mut self, name: &str, list: &[T], write: impl Fn(&T) -> Yaml) {
        self.put(name, Yaml::List(list.iter().map(write).collect()));
    }

    fn named<T>(&mut self, name: &str, all: &BTreeMap<String, T>, write: impl Fn(&T) -> Yaml) {
        let all = all.iter().map(|(name, thing)| (name.clone(), write(thing)));
        self.put(name, Yaml::Map(all.collect()));
    }

    /// What is there is written, even where it says nothing.
    fn nested(&mut self, name: &str, write: Option<Yaml>) {
        if let Some(value) = write {
            self.0.push((name.to_owned(), value));
        }
    }

    fn driver(&mut self, name: &str, options: &str, driver: Option<&Driver>) {
        if let Some(driver) = driver {
            self.text(name, Some(&driver.name).filter(|name| !name.is_empty()));
            self.pairs(options, &driver.options);
        }
    }
}
