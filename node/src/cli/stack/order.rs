//! In which order services are deployed: each after those that it depends on.

use std::collections::{BTreeMap, BTreeSet};

use services::compose::Service;

/// The keys of `services`, by name where nothing else orders them. The loader
/// refuses circles.
pub fn in_order(services: &BTreeMap<String, Service>) -> Vec<&str> {
    let mut order = Vec::with_capacity(services.len());
    let mut seen = BTreeSet::new();
    for start in services.keys() {
        // Depth first, without recursion: a chain may be as long as the file.
        let mut path = vec![(start.as_str(), false)];
        while let Some((key, done)) = path.pop() {
            if done {
                order.push(key);
            } else if seen.insert(key) {
                path.push((key, true));
                let before = services.get(key).into_iter();
                let before = before.flat_map(|service| service.depends_on.keys());
                let before = before.filter(|other| services.contains_key(*other));
                path.extend(before.rev().map(|other| (other.as_str(), false)));
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use services::compose::Dependency;

    use super::*;

    #[test]
    fn what_others_depend_on_comes_first() {
        let service = |before: &[&str]| Service {
            depends_on: before
                .iter()
                .map(|key| ((*key).to_owned(), Dependency::default()))
                .collect(),
            ..Service::default()
        };
        let services = BTreeMap::from([
            ("a".to_owned(), service(&["web", "db"])),
            ("db".to_owned(), service(&["migrate"])),
            ("migrate".to_owned(), service(&[])),
            ("web".to_owned(), service(&["db", "migrate"])),
        ]);
        assert_eq!(in_order(&services), ["migrate", "db", "web", "a"]);
    }
}
