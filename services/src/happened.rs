//! What a command did to objects that users know: made, changed or removed, as
//! Docker's events tell it.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::{Answer, Change, Command, Proposal, Refusal};
use crate::file::{FileKind, FileObject};
use crate::id::Id;
use crate::object::{Meta, Network, Node, Service};
use crate::observed::NodeHealth;
use crate::spec::Labels;
use crate::state::State;
use crate::time::Timestamp;

/// Of tasks there are no events, as in Docker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Node,
    Service,
    Network,
    File(FileKind),
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Service => "service",
            Self::Network => "network",
            Self::File(kind) => kind.as_str(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Create,
    Update,
    Remove,
}

impl Action {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Remove => "remove",
        }
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    pub at: Timestamp,
    pub kind: Kind,
    pub action: Action,
    pub id: Id,
    /// Its `name`, and what changed, as `<what>.old` and `<what>.new`.
    pub attributes: Labels,
}

impl Happened {
    /// That the leader sees a node in another state than before.
    pub fn health(at: Timestamp, node: &Node, before: &NodeHealth, after: &NodeHealth) -> Self {
        let attributes = [
            ("name", Seen::of_node(node).name),
            ("state.old", before.as_str().to_owned()),
            ("state.new", after.as_str().to_owned()),
        ];
        Self {
            at,
            kind: Kind::Node,
            action: Action::Update,
            id: node.id,
            attributes: attributes.map(|(key, it)| (key.to_owned(), it)).into(),
        }
    }
}

impl State {
    /// As [`State::apply`], and tells what happened.
    ///
    /// # Errors
    /// As [`State::apply`]: nothing happened.
    pub fn apply_and_tell(
        &mut self,
        index: u64,
        proposal: &Proposal,
    ) -> Result<(Answer, Vec<Happened>), Refusal> {
        let touched = touched(&proposal.command).into_iter();
        let touched: Vec<_> = touched
            .map(|(kind, id)| (kind, id, self.seen(kind, id)))
            .collect();
        let answer = self.apply(index, proposal)?;
        let told = touched.into_iter().filter_map(|(kind, id, before)| {
            let (action, attributes) = difference(before, self.seen(kind, id))?;
            Some(Happened {
                at: proposal.at,
                kind,
                action,
                id,
                attributes,
            })
        });
        let told = told.collect();
        Ok((answer, told))
    }

    fn seen(&self, kind: Kind, id: Id) -> Option<Seen> {
        match kind {
            Kind::Node => self.node(id).map(|it| Seen::of_node(it)),
            Kind::Service => self.service(id).map(|it| Seen::of_service(it)),
            Kind::Network => self.network(id).map(|it| Seen::of_network(it)),
            Kind::File(kind) => self.file(kind, id).map(|it| Seen::of_file(it)),
        }
    }
}

/// Objects that the command may write.
fn touched(command: &Command) -> BTreeSet<(Kind, Id)> {
    let one = match command {
        Command::AddNode { id, .. }
        | Command::DescribeNode { id, .. }
        | Command::UpdateNode { id, .. }
        | Command::RemoveNode { id } => (Kind::Node, *id),
        Command::CreateService { id, .. }
        | Command::UpdateService { id, .. }
        | Command::RollbackService { id, .. }
        | Command::RemoveService { id } => (Kind::Service, *id),
        Command::CreateNetwork { id, .. } | Command::RemoveNetwork { id } => (Kind::Network, *id),
        Command::CreateFile { id, kind, .. }
        | Command::UpdateFile { id, kind, .. }
        | Command::RemoveFile { id, kind } => (Kind::File(*kind), *id),
        Command::Plan { changes } => return changes.iter().filter_map(touched_by_plan).collect(),
        Command::CreateCluster { .. }
        | Command::UpdateCluster { .. }
        | Command::RotateJoinToken { .. }
        | Command::RotateRoot { .. }
        | Command::SetUnlockKey { .. }
        | Command::CreateAttachment { .. }
        | Command::RemoveAttachments { .. } => return BTreeSet::new(),
    };
    [one].into()
}

fn touched_by_plan(change: &Change) -> Option<(Kind, Id)> {
    match change {
        Change::SetUpdateStatus { service, .. }
        | Change::Rollback { service, .. }
        | Change::AllocateService { service, .. } => Some((Kind::Service, *service)),
        Change::CreateIngress { id, .. } => Some((Kind::Network, *id)),
        _ => None,
    }
}

/// What an event may tell of an object at one moment.
struct Seen {
    meta: Meta,
    name: String,
    /// Told where they change.
    facts: BTreeMap<&'static str, String>,
}

impl Seen {
    fn of_node(node: &Node) -> Self {
        let hostname = node.description.as_ref().map(|it| it.hostname.clone());
        let name = node.spec.name.clone().or(hostname);
        let spec = &node.spec;
        Self {
            meta: node.meta,
            name: name.unwrap_or_default(),
            facts: BTreeMap::from([
                ("role", spec.role.as_str().to_owned()),
                ("availability", spec.availability.as_str().to_owned()),
            ]),
        }
    }

    fn of_service(service: &Service) -> Self {
        let spec = &service.spec;
        let mut facts = BTreeMap::from([("image", spec.task.container.image.clone())]);
        if let Some(slots) = spec.mode.slots() {
            facts.insert("replicas", slots.to_string());
        }
        if let Some(update) = &service.update {
            facts.insert("updatestate", update.state.as_str().to_owned());
        }
        Self {
            meta: service.meta,
            name: spec.name.clone(),
            facts,
        }
    }

    fn of_network(network: &Network) -> Self {
        Self {
            meta: network.meta,
            name: network.spec.name.clone(),
            facts: BTreeMap::new(),
        }
    }

    fn of_file(file: &FileObject) -> Self {
        Self {
            meta: file.meta,
            name: file.spec.name.clone(),
            facts: BTreeMap::new(),
        }
    }
}

fn difference(before: Option<Seen>, after: Option<Seen>) -> Option<(Action, Labels)> {
    let named = |seen: &Seen| Labels::from([("name".to_owned(), seen.name.clone())]);
    match (before, after) {
        (None, None) => None,
        (None, Some(after)) => Some((Action::Create, named(&after))),
        (Some(before), None) => Some((Action::Remove, named(&before))),
        (Some(before), Some(after)) if before.meta.version == after.meta.version => None,
        (Some(before), Some(after)) => {
            let mut attributes = named(&after);
            let keys: BTreeSet<_> = before.facts.keys().chain(after.facts.keys()).collect();
            for key in keys {
                let (old, new) = (before.facts.get(key), after.facts.get(key));
                if old != new {
                    let said = [("old", old), ("new", new)].into_iter();
                    let said = said.filter_map(|(when, it)| Some((when, it?)));
                    attributes.extend(said.map(|(when, it)| (format!("{key}.{when}"), it.clone())));
                }
            }
            Some((Action::Update, attributes))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::file::FileSpec;
    use crate::object::{UpdateState, UpdateStatus};
    use crate::spec::{Availability, Mode, NodeSpec, Role, ServiceSpec};

    /// Applies the command and shows what it told.
    fn told(state: &mut State, index: u64, command: Command) -> Vec<String> {
        let at = Timestamp(index);
        let told = state.apply_and_tell(index, &Proposal { at, command });
        let (_, told) = told.unwrap();
        let show = |it: Happened| {
            let attributes = it
                .attributes
                .iter()
                .map(|(key, value)| format!("{key}={value}"));
            let attributes = attributes.collect::<Vec<_>>().join(",");
            format!("{} {} {attributes}", it.kind.as_str(), it.action.as_str())
        };
        told.into_iter().map(show).collect()
    }

    fn spec(image: &str, replicas: u64) -> Arc<ServiceSpec> {
        let mut spec = ServiceSpec {
            name: "web".into(),
            mode: Mode::Replicated {
                replicas: Some(replicas),
            },
            ..ServiceSpec::default()
        };
        spec.task.container.image = image.into();
        Arc::new(spec)
    }

    #[test]
    fn a_services_life_is_told() {
        let mut state = State::default();
        let id = Id::from_u128(1);
        let create = Command::CreateService {
            id,
            spec: spec("a:1", 1),
        };
        assert_eq!(told(&mut state, 1, create), ["service create name=web"]);
        let update = Command::UpdateService {
            id,
            version: 1,
            spec: spec("a:2", 3),
        };
        assert_eq!(
            told(&mut state, 2, update),
            [
                "service update image.new=a:2,image.old=a:1,name=web,replicas.new=3,replicas.old=1,\
              updatestate.new=updating"
            ]
        );
        let status = UpdateStatus::begun(UpdateState::Completed, Timestamp(3), "done");
        let done = Change::SetUpdateStatus {
            service: id,
            spec_version: 2,
            status,
        };
        let plan = Command::Plan {
            changes: vec![done],
        };
        assert_eq!(
            told(&mut state, 3, plan),
            ["service update name=web,updatestate.new=completed,updatestate.old=updating"]
        );
        let removed = told(&mut state, 4, Command::RemoveService { id });
        assert_eq!(removed, ["service remove name=web"]);
    }

    #[test]
    fn files_are_told_of_without_what_is_in_them() {
        let mut state = State::default();
        let (id, kind) = (Id::from_u128(1), FileKind::Secret);
        let spec = FileSpec {
            name: "s".into(),
            ..FileSpec::default()
        };
        let create = Command::CreateFile { id, kind, spec };
        assert_eq!(told(&mut state, 1, create), ["secret create name=s"]);
        let labels = Labels::from([("a".to_owned(), "b".to_owned())]);
        let update = Command::UpdateFile {
            id,
            kind,
            version: 1,
            labels,
        };
        assert_eq!(told(&mut state, 2, update), ["secret update name=s"]);
        let remove = Command::RemoveFile { id, kind };
        assert_eq!(told(&mut state, 3, remove), ["secret remove name=s"]);
    }

    #[test]
    fn a_node_that_is_seen_otherwise_is_told_of() {
        let node = Node {
            id: Id::from_u128(7),
            meta: Meta::default(),
            spec: NodeSpec {
                name: None,
                labels: Labels::new(),
                role: Role::Worker,
                availability: Availability::Active,
            },
            description: None,
            addr: ([10, 0, 0, 1], 2377).into(),
        };
        let down = NodeHealth::Down { reason: "x".into() };
        let told = Happened::health(Timestamp(5), &node, &NodeHealth::Ready, &down);
        assert_eq!(
            (told.kind, told.action, told.id),
            (Kind::Node, Action::Update, node.id)
        );
        assert_eq!(told.attributes["state.old"], "ready");
        assert_eq!(told.attributes["state.new"], "down");
    }

    #[test]
    fn what_is_refused_did_not_happen() {
        let mut state = State::default();
        let proposal = Proposal {
            at: Timestamp(1),
            command: Command::RemoveService {
                id: Id::from_u128(1),
            },
        };
        assert!(state.apply_and_tell(1, &proposal).is_err());
    }
}
