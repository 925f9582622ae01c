//! What a spec asks of a node, whatever else runs there.

use super::dirt::constraints_of;
use crate::constraint::{Constraint, same_arch};
use crate::object::Node;
use crate::spec::{Platform, ServiceSpec};

pub(super) struct Criteria {
    /// With the text as written; `None` where it cannot be read.
    constraints: Vec<(String, Option<Constraint>)>,
    pub(super) platforms: Vec<Platform>,
}

/// The first that a node does not meet.
pub(super) enum Unmet {
    Constraint(String),
    Platform,
}

impl Criteria {
    pub(super) fn of(spec: &ServiceSpec) -> Self {
        let parse = |text: &String| (text.clone(), Constraint::parse(text).ok());
        let placement = spec.task.placement.as_ref();
        Self {
            constraints: constraints_of(spec).iter().map(parse).collect(),
            platforms: placement.map_or_else(Vec::new, |it| it.platforms.clone()),
        }
    }

    pub(super) fn unmet(&self, node: &Node) -> Option<Unmet> {
        let unmet = self
            .constraints
            .iter()
            .find(|(_, parsed)| !parsed.as_ref().is_some_and(|it| it.matches(node)));
        if let Some((text, _)) = unmet {
            return Some(Unmet::Constraint(text.clone()));
        }
        (!self.platform_suits(node)).then_some(Unmet::Platform)
    }

    fn platform_suits(&self, node: &Node) -> bool {
        let actual = node.description.as_ref().map(|it| &it.platform);
        let suits = |wanted: &Platform| {
            actual.is_some_and(|actual| {
                (wanted.os.is_empty() || wanted.os.eq_ignore_ascii_case(&actual.os))
                    && (wanted.architecture.is_empty()
                        || same_arch(&wanted.architecture, &actual.architecture))
            })
        };
        self.platforms.is_empty() || self.platforms.iter().any(suits)
    }
}
