//! What becomes of each service of a stack.

use std::collections::{BTreeMap, BTreeSet};

use services::file::FileKind;

use super::canonical::Ids;
use super::diff;
use super::plan::{FileStep, Found, Images, Pinned, ServiceChange, ServiceStep};
use super::{IMAGE_LABEL, Stack, Wanted, WantedService};
use crate::api::dto::ServiceSpec;

/// What the names in the project's specs are called now.
pub type Versions = BTreeMap<(FileKind, String), String>;

pub fn versions_of(wanted: &Wanted, steps: &[FileStep]) -> Versions {
    let files = wanted.files.iter().zip(steps);
    files
        .map(|(file, step)| {
            let key = (file.kind, file.spec.name.clone());
            (key, step.spec.name.clone())
        })
        .collect()
}

/// Decides one service after the other, in their order.
pub struct Planner<'a> {
    pub stack: &'a Stack,
    pub found: &'a Found,
    pub images: &'a Images,
    pub ids: Ids,
    pub versions: Versions,
    /// The names of services whose tasks are replaced.
    pub replaced: BTreeSet<String>,
}

impl Planner<'_> {
    pub fn service(&mut self, wanted: &WantedService) -> Result<ServiceStep, String> {
        let mut spec = wanted.spec.clone();
        let name = spec.name.clone();
        self.name_versions(&mut spec)?;
        let mut services = self.found.services.iter();
        let known = services.find(|service| service.spec.name == name);
        let waits = wanted.waits.clone();
        let Some(known) = known else {
            self.pin(&mut spec, None);
            // What the daemon refuses is refused now.
            self.ids.canonical(spec.clone())?;
            let change = ServiceChange::Create;
            return Ok(ServiceStep {
                spec,
                waits,
                change,
            });
        };
        if !self.stack.has(&known.spec.labels) {
            return Err(format!(
                "a service of this name exists and is not of stack {}; remove it first",
                self.stack.0
            ));
        }
        self.pin(&mut spec, Some(&known.spec));
        // What a user forced stays: another number would replace the tasks.
        spec.task_template.force_update = known.spec.task_template.force_update;
        if wanted
            .restarts_with
            .iter()
            .any(|it| self.replaced.contains(it))
        {
            spec.task_template.force_update += 1;
        }
        let new = self.ids.canonical(spec.clone())?;
        // An older daemon may have taken what this one refuses.
        let old = self.ids.canonical(known.spec.clone());
        let old = old.unwrap_or_else(|_| known.spec.clone());
        let id = known.id.clone();
        let fields = diff::fields(&self.readable(&old), &self.readable(&new));
        let change = match fields.is_empty() {
            true => ServiceChange::Keep { id },
            false => {
                if old.task_template != new.task_template {
                    self.replaced.insert(name);
                }
                let from = Box::new(known.spec.clone());
                ServiceChange::Update { id, from, fields }
            }
        };
        Ok(ServiceStep {
            spec,
            waits,
            change,
        })
    }

    /// Says the versions of secrets and configs that are to be used.
    ///
    /// # Errors
    /// An external one is not there; in Docker's words.
    fn name_versions(&self, spec: &mut ServiceSpec) -> Result<(), String> {
        let Some(container) = &mut spec.task_template.container_spec else {
            return Ok(());
        };
        for (kind, name, _) in container.files_mut() {
            if let Some(version) = self.versions.get(&(kind, name.clone())) {
                name.clone_from(version);
            }
            if !self.ids.has_file(kind, name) {
                return Err(format!("{kind} not found: {name}"));
            }
        }
        Ok(())
    }

    /// As a registry says now, or as it said when the same image was deployed.
    fn pin(&self, spec: &mut ServiceSpec, known: Option<&ServiceSpec>) {
        let same = known.filter(|it| it.labels.get(IMAGE_LABEL) == spec.labels.get(IMAGE_LABEL));
        let template = &mut spec.task_template;
        let container = template.container_spec.get_or_insert_default();
        let pinned = match self.images.get(&container.image) {
            Some(pinned) => Some(pinned.clone()),
            None => same.and_then(pinned_before),
        };
        let Some(pinned) = pinned else {
            return;
        };
        container.image = pinned.image;
        let placement = template.placement.get_or_insert_default();
        placement.platforms = pinned.platforms;
    }

    /// With the names of networks, and without the ids of what is not there yet.
    fn readable(&self, spec: &ServiceSpec) -> ServiceSpec {
        let mut spec = spec.clone();
        if let Some(container) = &mut spec.task_template.container_spec {
            for (_, _, id) in container.files_mut() {
                if self.ids.is_planned(id) {
                    id.clear();
                }
            }
        }
        for network in &mut spec.task_template.networks {
            if let Some(name) = self.ids.network_name(&network.target) {
                network.target = name.to_owned();
            }
        }
        spec
    }
}

/// What a registry said of its image, if one was asked.
fn pinned_before(spec: &ServiceSpec) -> Option<Pinned> {
    let template = &spec.task_template;
    let image = &template.container_spec.as_ref()?.image;
    let placement = template.placement.as_ref();
    image.contains('@').then(|| Pinned {
        image: image.clone(),
        platforms: placement.map_or_else(Vec::new, |it| it.platforms.clone()),
    })
}
