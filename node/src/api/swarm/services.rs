//! `/services`.

use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use services::expand::has_placeholders;
use services::object::Service;
use services::{Command, Id, spec, validate_service};

use super::{Call, Reply, aside, done, look, names, networks, registry};
use crate::api::backend::Manager;
use crate::api::convert;
use crate::api::dto::{ServiceCreateResponse, ServiceSpec, ServiceUpdateResponse};
use crate::api::error::ApiError;
use crate::api::json;
use crate::api::query::{Filters, Query};
use crate::api::versions;

const FILTERS: &[&str] = &["id", "name", "label", "mode", "runtime"];
const GO_TYPE: &str = "swarm.ServiceSpec";

pub(super) fn list(swarm: &dyn Manager, call: &Call) -> Reply {
    let filters = call.query.filters(FILTERS)?;
    let knows_it = call
        .version
        .is_none_or(|version| version >= versions::SINCE_JOBS);
    let with_status = knows_it && call.query.flag("status");
    let shown: Vec<_> = look(swarm, |view| {
        let services = view.state.services();
        let wanted = services.filter(|service| matches(&filters, service));
        let show = |service: &Arc<Service>| convert::service(service, view, with_status);
        Ok(wanted.map(show).collect())
    })?;
    Ok(Json(shown).into_response())
}

fn matches(filters: &Filters, service: &Service) -> bool {
    filters.prefix("id", service.id)
        && filters.prefix("name", &service.spec.name)
        && filters.labels("label", &service.spec.labels)
        && filters.equals("mode", service.spec.mode.as_str())
        && filters.equals("runtime", "container")
}

pub(super) fn inspect(swarm: &dyn Manager, id: &str, query: &Query) -> Reply {
    let mut shown = look(swarm, |view| {
        let service = view.state.find_service(id).map_err(ApiError::lookup)?;
        Ok(convert::service(service, view, false))
    })?;
    if query.flag("insertDefaults") {
        convert::insert_defaults(&mut shown.spec);
    }
    Ok(Json(shown).into_response())
}

pub(super) async fn create(swarm: &dyn Manager, call: Call) -> Reply {
    let mut spec = read(swarm, wanted(&call)?)?;
    spec.task.registry_auth = registry::sent(&call.headers)?;
    if spec.name.is_empty() {
        spec.name = free_name(swarm)?;
    }
    let spec = valid(spec).await?;
    let id = swarm.new_id();
    swarm.propose(Command::CreateService { id, spec }).await?;
    let answer = ServiceCreateResponse {
        id: id.to_string(),
        warnings: Vec::new(),
    };
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// What was sent, without what its version of the API does not have.
fn wanted(call: &Call) -> Result<ServiceSpec, ApiError> {
    let mut wanted: ServiceSpec = json::decode(&call.body, GO_TYPE)?;
    if let Some(version) = call.version {
        versions::service(&mut wanted, version);
    }
    Ok(wanted)
}

/// The spec that a user wants; a network that it names must be there.
fn read(swarm: &dyn Manager, wanted: ServiceSpec) -> Result<spec::ServiceSpec, ApiError> {
    look(swarm, |view| {
        convert::service_spec(wanted, &|text| networks::for_service(view, text))
    })
}

async fn valid(spec: spec::ServiceSpec) -> Result<Arc<spec::ServiceSpec>, ApiError> {
    let spec = Arc::new(spec);
    let checked = match has_placeholders(&spec.task.container) {
        true => {
            let spec = Arc::clone(&spec);
            aside(move || validate_service(&spec)).await?
        }
        false => validate_service(&spec),
    };
    Ok(checked.map(|()| spec)?)
}

/// A name that no service has; the state checks it once more.
fn free_name(swarm: &dyn Manager) -> Result<String, ApiError> {
    let random = swarm.new_id().as_u128();
    look(swarm, |view| {
        let taken = |name: &str| view.state.find_service(name).is_ok();
        Ok(names::free(taken, random))
    })
}

pub(super) async fn update(swarm: &dyn Manager, id: &str, call: Call) -> Reply {
    let wanted = wanted(&call)?;
    let version = call.query.version("service")?;
    let id = find(swarm, id)?;
    let command = match call.query.text("rollback") {
        "" => {
            let mut spec = read(swarm, wanted)?;
            spec.task.registry_auth = match registry::sent(&call.headers)? {
                None => look(swarm, |view| registry::kept(view, id, &call.query))?,
                sent => sent,
            };
            let spec = valid(spec).await?;
            Command::UpdateService { id, version, spec }
        }
        "previous" => Command::RollbackService { id, version },
        other => {
            let text = format!("unrecognized rollback option {other}");
            return Err(ApiError::internal(text));
        }
    };
    swarm.propose(command).await?;
    Ok(Json(ServiceUpdateResponse::default()).into_response())
}

pub(super) async fn remove(swarm: &dyn Manager, id: &str) -> Reply {
    let id = find(swarm, id)?;
    swarm.propose(Command::RemoveService { id }).await?;
    done()
}

fn find(swarm: &dyn Manager, id: &str) -> Result<Id, ApiError> {
    look(swarm, |view| {
        let service = view.state.find_service(id).map_err(ApiError::lookup)?;
        Ok(service.id)
    })
}
