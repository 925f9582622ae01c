//! Specs as the daemon would show them after it took them: whatever two ways
//! there are to write the same thing, both come out alike. It refuses what the
//! daemon would refuse, before anything is made.

use std::collections::BTreeMap;

use services::file::FileKind;
use services::spec::OwnNetwork;
use services::{Id, validate_file, validate_network, validate_service};

use crate::api::convert;
use crate::api::dto::{FileSpec, NetworkCreateRequest, ServiceSpec};
use crate::api::error::ApiError;

/// # Errors
/// Why the daemon would refuse it.
pub fn check_file(kind: FileKind, spec: &FileSpec) -> Result<(), String> {
    let named = |why: String| format!("{kind} {}: {why}", spec.name);
    let read = convert::file_spec(spec.clone()).map_err(|error| named(error.message))?;
    validate_file(kind, &read).map_err(|refusal| named(refusal.message))
}

/// # Errors
/// Why the daemon would refuse it.
pub fn check_network(request: &NetworkCreateRequest) -> Result<(), String> {
    let named = |why: String| format!("network {}: {why}", request.name);
    let read = convert::network_spec(request.clone()).map_err(|error| named(error.message))?;
    validate_network(&read).map_err(|refusal| named(refusal.message))
}

/// What names stand for: what is there, and what will be, which has an id for
/// as long as it is compared.
#[derive(Debug, Clone, Default)]
pub struct Ids {
    networks: BTreeMap<String, Id>,
    files: BTreeMap<(FileKind, String), Id>,
    /// How many do not exist yet.
    planned: u128,
}

impl Ids {
    pub fn add_network(&mut self, name: &str, id: Option<&str>) {
        let id = self.known_or_planned(id);
        self.networks.insert(name.to_owned(), id);
    }

    pub fn add_file(&mut self, kind: FileKind, name: &str, id: Option<&str>) {
        let id = self.known_or_planned(id);
        self.files.insert((kind, name.to_owned()), id);
    }

    pub fn has_file(&self, kind: FileKind, name: &str) -> bool {
        self.files.contains_key(&(kind, name.to_owned()))
    }

    fn known_or_planned(&mut self, id: Option<&str>) -> Id {
        id.and_then(|id| id.parse().ok()).unwrap_or_else(|| {
            self.planned += 1;
            Id::from_u128(self.planned)
        })
    }

    /// # Errors
    /// What the daemon would refuse, in its words.
    pub fn canonical(&self, mut spec: ServiceSpec) -> Result<ServiceSpec, String> {
        if let Some(container) = &mut spec.task_template.container_spec {
            for (kind, name, id) in container.files_mut() {
                if id.is_empty()
                    && let Some(known) = self.files.get(&(kind, name.clone()))
                {
                    *id = known.to_string();
                }
            }
        }
        let find = |text: &str| match self.networks.get(text) {
            Some(id) => Ok(*id),
            None => match OwnNetwork::named(text) {
                Some(own) => Ok(own.id()),
                // A spec that is there names its networks by their ids.
                None => text
                    .parse()
                    .map_err(|_| ApiError::not_found(format!("network {text} not found"))),
            },
        };
        let read = convert::service_spec(spec, &find).map_err(|error| error.message)?;
        validate_service(&read).map_err(|refusal| refusal.message)?;
        Ok(convert::show_service_spec(&read))
    }

    /// Whether it is no id but for comparing.
    pub fn is_planned(&self, id: &str) -> bool {
        id.parse().is_ok_and(|id: Id| id.as_u128() <= self.planned)
    }

    /// What a network's id is called.
    pub fn network_name(&self, id: &str) -> Option<&str> {
        let id: Id = id.parse().ok()?;
        if let Some(own) = OwnNetwork::with_id(id) {
            return Some(own.as_str());
        }
        let mut known = self.networks.iter();
        known
            .find(|(_, known)| **known == id)
            .map(|it| it.0.as_str())
    }
}
