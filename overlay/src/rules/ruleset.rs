//! A table of nftables as a value, and the commands that make it of another.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// One nftables table of the family `inet`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruleset {
    table: String,
    pub chains: BTreeMap<String, Chain>,
    pub sets: BTreeMap<&'static str, Set>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chain {
    /// `type … hook … priority …;` where the kernel begins; `None`: others jump here.
    pub hook: Option<&'static str>,
    pub rules: Vec<String>,
}

/// A set, or a map from keys to verdicts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// `set` or `map`.
    pub kind: &'static str,
    /// What is between its braces.
    pub spec: &'static str,
    /// A set's elements have no verdict.
    pub elements: BTreeMap<String, Option<String>>,
}

impl Ruleset {
    pub fn new(table: &str) -> Self {
        Self {
            table: table.to_owned(),
            chains: BTreeMap::new(),
            sets: BTreeMap::new(),
        }
    }

    /// Its name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The transaction that makes this of whatever is there.
    pub fn whole(&self) -> String {
        let table = &self.table;
        let mut text =
            format!("add table inet {table}\ndelete table inet {table}\nadd table inet {table}\n");
        text.push_str(&self.since(&Self::new(table)));
        text
    }

    /// The transaction that makes this of `old`; empty where nothing differs.
    pub fn since(&self, old: &Self) -> String {
        let mut text = Script::new(&self.table);
        for (name, set) in &old.sets {
            text.delete_elements(name, set.missing_in(self.sets.get(name)));
        }
        for (name, set) in &self.sets {
            if !old.sets.contains_key(name) {
                text.line("add", set.kind, name, &format!("{{ {} }}", set.spec));
            }
        }
        let added = |name: &&String| !old.chains.contains_key(*name);
        for name in self.chains.keys().filter(added) {
            text.add_chain(name, &self.chains[name]);
        }
        let gone = |name: &&String| !self.chains.contains_key(*name);
        for (name, chain) in &old.chains {
            let is = self.chains.get(name).map(|chain| &chain.rules);
            if is != Some(&chain.rules) {
                text.line("flush", "chain", name, "");
            }
        }
        for (name, chain) in &self.chains {
            let was = old.chains.get(name).map(|chain| &chain.rules);
            if was != Some(&chain.rules) {
                text.add_rules(name, &chain.rules);
            }
        }
        for name in old.chains.keys().filter(gone) {
            text.line("delete", "chain", name, "");
        }
        for (name, set) in &self.sets {
            text.add_elements(name, set.missing_in(old.sets.get(name)));
        }
        text.text
    }

    /// The named chain, made where it is not there yet.
    pub fn chain(&mut self, name: impl Into<String>) -> &mut Chain {
        self.chains.entry(name.into()).or_default()
    }

    /// Into a set that is declared.
    pub fn insert(&mut self, set: &str, key: impl Into<String>, verdict: Option<String>) {
        let set = self.sets.get_mut(set);
        debug_assert!(set.is_some());
        if let Some(set) = set {
            set.elements.insert(key.into(), verdict);
        }
    }
}

impl Set {
    /// The elements that `other` lacks or leads elsewhere.
    fn missing_in<'a>(
        &'a self,
        other: Option<&'a Self>,
    ) -> impl Iterator<Item = (&'a String, &'a Option<String>)> {
        let same = move |key: &String, verdict: &Option<String>| {
            other.is_some_and(|other| other.elements.get(key) == Some(verdict))
        };
        let elements = self.elements.iter();
        elements.filter(move |(key, verdict)| !same(key, verdict))
    }
}

/// Commands of one transaction.
struct Script<'a> {
    table: &'a str,
    text: String,
}

impl<'a> Script<'a> {
    fn new(table: &'a str) -> Self {
        let text = String::new();
        Self { table, text }
    }

    fn line(&mut self, verb: &str, what: &str, name: &str, rest: &str) {
        let gap = if rest.is_empty() { "" } else { " " };
        let table = self.table;
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{verb} {what} inet {table} {name}{gap}{rest}");
    }

    fn add_chain(&mut self, name: &str, chain: &Chain) {
        let hook = chain.hook.map(|hook| format!("{{ {hook} }}"));
        self.line("add", "chain", name, hook.as_deref().unwrap_or_default());
    }

    fn add_rules(&mut self, chain: &str, rules: &[String]) {
        for rule in rules {
            self.line("add", "rule", chain, rule);
        }
    }

    fn delete_elements<'e>(
        &mut self,
        set: &str,
        elements: impl Iterator<Item = (&'e String, &'e Option<String>)>,
    ) {
        let keys: Vec<_> = elements.map(|(key, _)| key.as_str()).collect();
        self.elements("delete", set, &keys);
    }

    fn add_elements<'e>(
        &mut self,
        set: &str,
        elements: impl Iterator<Item = (&'e String, &'e Option<String>)>,
    ) {
        let elements: Vec<_> = elements
            .map(|(key, verdict)| match verdict {
                Some(verdict) => format!("{key} : {verdict}"),
                None => key.clone(),
            })
            .collect();
        let elements: Vec<_> = elements.iter().map(String::as_str).collect();
        self.elements("add", set, &elements);
    }

    fn elements(&mut self, verb: &str, set: &str, elements: &[&str]) {
        if !elements.is_empty() {
            let elements = elements.join(", ");
            self.line(verb, "element", set, &format!("{{ {elements} }}"));
        }
    }
}
