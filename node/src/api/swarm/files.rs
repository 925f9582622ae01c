//! `/secrets` and `/configs`.

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use services::file::{FileKind, FileObject, FileSpec};
use services::{Command, Id, validate_file};

use super::{Call, Reply, aside, done, look};
use crate::api::backend::Manager;
use crate::api::dto::{self, FileComparison, FileCreateResponse};
use crate::api::error::ApiError;
use crate::api::query::{Filters, Query};
use crate::api::route::ApiVersion;
use crate::api::{convert, json};

/// Since which clients can say that the data is a template.
const TEMPLATES_SINCE: ApiVersion = ApiVersion(1, 37);

pub(super) fn list(swarm: &dyn Manager, kind: FileKind, query: &Query) -> Reply {
    let filters = query.filters(match kind {
        FileKind::Secret => &["id", "label", "name", "names"],
        FileKind::Config => &["id", "label", "name"],
    })?;
    let shown: Vec<_> = look(swarm, |view| {
        let files = view.state.files(kind);
        let wanted = files.filter(|file| matches(&filters, file));
        Ok(wanted.map(|file| convert::file(file)).collect())
    })?;
    Ok(Json(shown).into_response())
}

fn matches(filters: &Filters, file: &FileObject) -> bool {
    filters.prefix("id", file.id)
        && filters.prefix("name", &file.spec.name)
        && filters.equals("names", &file.spec.name)
        && filters.labels("label", &file.spec.labels)
}

pub(super) fn inspect(swarm: &dyn Manager, kind: FileKind, id: &str) -> Reply {
    let shown = look(swarm, |view| {
        let file = view.state.find_file(kind, id).map_err(ApiError::lookup)?;
        Ok(convert::file(file))
    })?;
    Ok(Json(shown).into_response())
}

pub(super) async fn create(swarm: &dyn Manager, kind: FileKind, call: Call) -> Reply {
    let spec = valid(kind, read(kind, &call)?).await?;
    let id = swarm.new_id();
    swarm
        .propose(Command::CreateFile { id, kind, spec })
        .await?;
    let answer = FileCreateResponse { id: id.to_string() };
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

async fn valid(kind: FileKind, spec: FileSpec) -> Result<FileSpec, ApiError> {
    let is_template = spec.content.templating.is_some();
    let check = move || validate_file(kind, &spec).map(|()| spec);
    let checked = match is_template {
        true => aside(check).await?,
        false => check(),
    };
    Ok(checked?)
}

fn read(kind: FileKind, call: &Call) -> Result<FileSpec, ApiError> {
    let go_type = match kind {
        FileKind::Secret => "swarm.SecretSpec",
        FileKind::Config => "swarm.ConfigSpec",
    };
    let spec: dto::FileSpec = json::decode(&call.body, go_type)?;
    if let Some(version) = call.version
        && spec.templating.is_some()
        && version < TEMPLATES_SINCE
    {
        return Err(ApiError::bad_request(format!(
            "{kind} templating is not supported on the specified API version: {version}"
        )));
    }
    convert::file_spec(spec)
}

/// What is in it stays; who sends it back as it is shown says nothing of it.
pub(super) async fn update(swarm: &dyn Manager, kind: FileKind, id: &str, call: Call) -> Reply {
    let spec = read(kind, &call)?;
    let version = call.query.text("version").parse();
    let version = version.map_err(|_| ApiError::bad_request(format!("invalid {kind} version")))?;
    let id = look(swarm, |view| {
        let known = view.state.find_file(kind, id).map_err(ApiError::lookup)?;
        let data = &spec.content.data;
        let same_data = data.bytes().is_empty() || *data == known.spec.content.data;
        if spec.name != known.spec.name || !same_data {
            return Err(ApiError::invalid_argument(
                "only updates to Labels are allowed",
            ));
        }
        Ok(known.id)
    })?;
    let labels = spec.labels;
    swarm
        .propose(Command::UpdateFile {
            id,
            kind,
            version,
            labels,
        })
        .await?;
    done()
}

/// Whether it is what was sent, but for name and labels: what is in a secret,
/// no answer says. An update tells as much by refusing.
pub(super) fn compare(swarm: &dyn Manager, kind: FileKind, id: &str, call: &Call) -> Reply {
    let spec = read(kind, call)?;
    let same = look(swarm, |view| {
        let known = view.state.find_file(kind, id).map_err(ApiError::lookup)?;
        Ok(spec.content == known.spec.content)
    })?;
    Ok(Json(FileComparison { same }).into_response())
}

pub(super) async fn remove(swarm: &dyn Manager, kind: FileKind, id: &str) -> Reply {
    let id: Id = look(swarm, |view| {
        let file = view.state.find_file(kind, id).map_err(ApiError::lookup)?;
        Ok(file.id)
    })?;
    swarm.propose(Command::RemoveFile { id, kind }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
