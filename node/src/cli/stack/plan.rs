//! What a deploy does: everything is decided before anything is done.

use std::collections::{BTreeMap, BTreeSet};

use services::file::FileKind;

use super::Wanted;
use super::canonical::{self, Ids};
use super::diff::Field;
use super::files::{self, versions};
use super::networks::network_steps;
use super::service::{Planner, versions_of};
use crate::api::dto::{
    ContainerSpec, File, FileSpec, NetworkCreateRequest, NetworkResource, Platform, Service,
    ServiceSpec,
};
use crate::cli::progress::Until;

/// What is in the swarm, of every stack and of none.
#[derive(Debug, Clone, Default)]
pub struct Found {
    pub networks: Vec<NetworkResource>,
    pub secrets: Vec<File>,
    pub configs: Vec<File>,
    pub services: Vec<Service>,
    /// The ids of secrets and configs that hold what the wanted one of this
    /// name does.
    pub same: BTreeSet<(FileKind, String, String)>,
}

impl Found {
    pub fn files(&self, kind: FileKind) -> &[File] {
        match kind {
            FileKind::Secret => &self.secrets,
            FileKind::Config => &self.configs,
        }
    }
}

/// What a registry says that an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// With its digest.
    pub image: String,
    pub platforms: Vec<Platform>,
}

/// By an image as specs name it: where it is not said, a service keeps what it has.
pub type Images = BTreeMap<String, Pinned>;

#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub networks: Vec<NetworkStep>,
    pub files: Vec<FileStep>,
    /// Services that the project does not name, by id and name; removed only
    /// where that is asked for.
    pub unnamed: Vec<(String, String)>,
    pub prune: bool,
    /// In their order.
    pub services: Vec<ServiceStep>,
    /// Versions of secrets and configs that nothing uses afterwards: kind, id
    /// and name.
    pub outdated: Vec<(FileKind, String, String)>,
}

impl Plan {
    /// Whether the service of this name is made or updated.
    pub fn changes(&self, service: &str) -> bool {
        let mut steps = self.services.iter();
        let step = steps.find(|step| step.spec.name == service);
        step.is_some_and(|step| !matches!(step.change, ServiceChange::Keep { .. }))
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct NetworkStep {
    pub request: NetworkCreateRequest,
    pub exists: bool,
    /// Where it is not as it is wanted: a network cannot be changed.
    pub differs: Vec<Field>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct FileStep {
    pub kind: FileKind,
    /// With the name of its version.
    pub spec: FileSpec,
    pub change: FileChange,
}

#[derive(Debug, Clone, PartialEq)]
pub enum FileChange {
    Create {
        /// The version that holds something else.
        replaces: Option<String>,
    },
    Label {
        id: String,
        version: u64,
        fields: Vec<Field>,
    },
    Keep {
        id: String,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct ServiceStep {
    /// The ids of secrets and configs that are yet to be made are missing.
    pub spec: ServiceSpec,
    /// As in [`WantedService::waits`].
    pub waits: Vec<(String, Until)>,
    pub change: ServiceChange,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ServiceChange {
    Create,
    Update {
        id: String,
        /// What it was when this was planned.
        from: Box<ServiceSpec>,
        fields: Vec<Field>,
    },
    Keep {
        id: String,
    },
}

/// # Errors
/// Every reason why the daemon would refuse it, or why it is not what is meant.
pub fn plan(
    wanted: &Wanted,
    found: &Found,
    images: &Images,
    prune: bool,
) -> Result<Plan, Vec<String>> {
    let mut problems = Vec::new();
    let mut ids = Ids::default();
    let networks = network_steps(wanted, found, &mut ids, &mut problems);
    let files = file_steps(wanted, found, &mut ids, &mut problems);
    let mut planner = Planner {
        stack: &wanted.stack,
        found,
        images,
        ids,
        versions: versions_of(wanted, &files),
        replaced: BTreeSet::new(),
    };
    let mut services = Vec::new();
    for service in &wanted.services {
        match planner.service(service) {
            Ok(step) => services.push(step),
            Err(why) => problems.push(format!("service {}: {why}", service.spec.name)),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let is_named = |name: &str| services.iter().any(|step| step.spec.name == name);
    let unnamed: Vec<(String, String)> = found
        .services
        .iter()
        .filter(|service| wanted.stack.has(&service.spec.labels) && !is_named(&service.spec.name))
        .map(|service| (service.id.clone(), service.spec.name.clone()))
        .collect();
    let mut plan = Plan {
        networks,
        files,
        unnamed,
        prune,
        services,
        outdated: Vec::new(),
    };
    plan.outdated = outdated(wanted, found, &plan);
    Ok(plan)
}

fn file_steps(
    wanted: &Wanted,
    found: &Found,
    ids: &mut Ids,
    problems: &mut Vec<String>,
) -> Vec<FileStep> {
    for kind in FileKind::ALL {
        for file in found.files(kind) {
            ids.add_file(kind, &file.spec.name, Some(&file.id));
        }
    }
    let mut steps = Vec::new();
    for file in &wanted.files {
        let same_kind = wanted.files.iter().filter(|it| it.kind == file.kind);
        let taken = same_kind.map(|it| it.spec.name.as_str()).collect();
        let name = &file.spec.name;
        let same = |known: &File| {
            let key = (file.kind, name.clone(), known.id.clone());
            found.same.contains(&key)
        };
        match files::step(&wanted.stack, file, found.files(file.kind), &taken, &same) {
            Ok(step) => {
                if let FileChange::Create { .. } = step.change {
                    ids.add_file(step.kind, &step.spec.name, None);
                    problems.extend(canonical::check_file(step.kind, &step.spec).err());
                }
                steps.push(step);
            }
            Err(why) => problems.push(why),
        }
    }
    steps
}

/// The versions of secrets and configs that no service has after the plan, nor
/// would have after a rollback.
fn outdated(wanted: &Wanted, found: &Found, plan: &Plan) -> Vec<(FileKind, String, String)> {
    let mut used: BTreeSet<(FileKind, String)> = BTreeSet::new();
    for step in &plan.services {
        used.extend(files_of(&step.spec));
    }
    for service in &found.services {
        let is_gone = plan.prune && plan.unnamed.iter().any(|(id, _)| *id == service.id);
        if is_gone {
            continue;
        }
        used.extend(files_of(&service.spec));
        let mut steps = plan.services.iter();
        let is_updated = steps.any(
            |step| matches!(&step.change, ServiceChange::Update { id, .. } if *id == service.id),
        );
        // An update makes the present spec the one to go back to.
        if let Some(previous) = service.previous_spec.as_ref().filter(|_| !is_updated) {
            used.extend(files_of(previous));
        }
    }
    let mut outdated = Vec::new();
    for (file, step) in wanted.files.iter().zip(&plan.files) {
        let kind = file.kind;
        for version in versions(&wanted.stack, &file.spec.name, found.files(kind)) {
            let name = &version.spec.name;
            if *name != step.spec.name && !used.contains(&(kind, name.clone())) {
                outdated.push((kind, version.id.clone(), name.clone()));
            }
        }
    }
    outdated
}

/// By name: of those that are yet to be made, no id is known.
fn files_of(spec: &ServiceSpec) -> impl Iterator<Item = (FileKind, String)> {
    let container = spec.task_template.container_spec.iter();
    let files = container.flat_map(ContainerSpec::files);
    files.map(|(kind, name)| (kind, name.clone()))
}
