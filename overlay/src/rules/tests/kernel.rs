//! As much of nftables as our transactions use, as strict as the kernel is:
//! what it would refuse panics.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Kernel {
    /// Rules by chain.
    chains: BTreeMap<String, Vec<String>>,
    /// Verdicts by element by set.
    sets: BTreeMap<String, BTreeMap<String, String>>,
}

impl Kernel {
    pub fn run(&mut self, script: &str) {
        script.lines().for_each(|line| self.command(line));
        let jumps = self.jumps();
        let dangling: Vec<_> = jumps
            .iter()
            .filter(|to| !self.chains.contains_key(*to))
            .collect();
        assert_eq!(dangling, Vec::<&String>::new());
    }

    fn command(&mut self, line: &str) {
        let words: Vec<_> = line.splitn(6, ' ').collect();
        let name = words
            .get(4)
            .map_or(String::new(), |name| (*name).to_owned());
        let rest = words.get(5).copied().unwrap_or_default();
        match words[..2] {
            ["add", "table"] => {}
            ["delete", "table"] => *self = Self::default(),
            ["add", "set" | "map"] => {
                assert!(self.sets.insert(name, BTreeMap::new()).is_none(), "{line}");
            }
            ["add", "chain"] => {
                assert!(self.chains.insert(name, Vec::new()).is_none(), "{line}");
            }
            ["flush", "chain"] => self.chains.get_mut(&name).unwrap().clear(),
            ["delete", "chain"] => {
                assert_eq!(self.chains.remove(&name), Some(Vec::new()), "{line}");
                assert!(!self.jumps().contains(&name), "in use: {line}");
            }
            ["add", "rule"] => {
                let sets = rest.split(' ').filter_map(|word| word.strip_prefix('@'));
                sets.for_each(|set| assert!(self.sets.contains_key(set), "{line}"));
                self.chains.get_mut(&name).unwrap().push(rest.to_owned());
                self.must_be_there(rest, line);
            }
            ["add", "element"] => {
                for element in elements(rest) {
                    let (key, verdict) = element.split_once(" : ").unwrap_or((element, ""));
                    self.must_be_there(verdict, line);
                    let set = self.sets.get_mut(&name).unwrap();
                    let was = set.insert(key.to_owned(), verdict.to_owned());
                    assert_eq!(was, None, "{line}");
                }
            }
            ["delete", "element"] => {
                let set = self.sets.get_mut(&name).unwrap();
                elements(rest).for_each(|key| assert!(set.remove(key).is_some(), "{line}"));
            }
            _ => panic!("no such command: {line}"),
        }
    }

    fn must_be_there(&self, text: &str, line: &str) {
        let to = target(text);
        assert!(to.is_none_or(|to| self.chains.contains_key(to)), "{line}");
    }

    fn jumps(&self) -> BTreeSet<String> {
        let rules = self.chains.values().flatten();
        let verdicts = self.sets.values().flat_map(BTreeMap::values);
        let targets = rules.chain(verdicts).filter_map(|text| target(text));
        targets.map(str::to_owned).collect()
    }
}

fn target(text: &str) -> Option<&str> {
    let (_, to) = text.split_once("goto ").or(text.split_once("jump "))?;
    to.split(' ').next()
}

fn elements(braced: &str) -> impl Iterator<Item = &str> {
    let inside = braced.trim_start_matches("{ ").trim_end_matches(" }");
    inside.split(", ")
}
