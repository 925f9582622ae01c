//! Secrets, configs and references to them.

use std::sync::Arc;

use services::Id;
use services::file::{self, FileContent, FileKind, FileObject, FileReference};

use super::container;
use crate::api::dto::{ConfigFileReference, Data, File, FileSpec, FileTarget, SecretReference};
use crate::api::dto::{Time, Version};
use crate::api::error::ApiError;

/// # Errors
/// 501 for a secret that a plugin would keep.
pub fn file_spec(dto: FileSpec) -> Result<file::FileSpec, ApiError> {
    match dto.driver.map(|driver| driver.name) {
        None => {}
        Some(name) if name.is_empty() => {
            return Err(ApiError::invalid_argument("secret driver must have a name"));
        }
        Some(name) => {
            return Err(ApiError::unimplemented(format!(
                "secret driver {name:?} is not supported: secrets of plugins are not in this \
                 version"
            )));
        }
    }
    let content = FileContent {
        templating: dto.templating.map(container::driver),
        data: dto.data.0.into(),
    };
    Ok(file::FileSpec {
        name: dto.name,
        labels: dto.labels,
        content: Arc::new(content),
    })
}

/// A secret without its data.
pub fn file(file: &FileObject) -> File {
    let content = &file.spec.content;
    let data = match file.kind {
        FileKind::Secret => Data::default(),
        FileKind::Config => Data(content.data.bytes().to_vec()),
    };
    File {
        id: file.id.to_string(),
        version: Version {
            index: file.meta.version,
        },
        created_at: Time(file.meta.created),
        updated_at: Time(file.meta.updated),
        spec: FileSpec {
            name: file.spec.name.clone(),
            labels: file.spec.labels.clone(),
            data,
            driver: None,
            templating: content.templating.as_ref().map(container::show_driver),
        },
    }
}

pub(super) fn secret_references(
    dtos: Vec<SecretReference>,
) -> Result<Vec<FileReference>, ApiError> {
    let references = dtos
        .into_iter()
        .map(|dto| (dto.id, dto.name, dto.file))
        .collect();
    of_kind(FileKind::Secret, references)
}

pub(super) fn config_references(
    dtos: Vec<ConfigFileReference>,
) -> Result<Vec<FileReference>, ApiError> {
    for dto in &dtos {
        match (&dto.file, &dto.runtime) {
            (_, None) => {}
            (Some(_), Some(_)) => {
                return Err(ApiError::bad_request(
                    "invalid config reference: cannot specify both File and Runtime",
                ));
            }
            (None, Some(_)) => {
                return Err(ApiError::unimplemented(format!(
                    "config reference '{}' has a runtime target: credential specs are of Windows",
                    dto.name
                )));
            }
        }
    }
    let references = dtos
        .into_iter()
        .map(|dto| (dto.id, dto.name, dto.file))
        .collect();
    of_kind(FileKind::Config, references)
}

/// Id, name and target of each.
fn of_kind(
    kind: FileKind,
    references: Vec<(String, String, Option<FileTarget>)>,
) -> Result<Vec<FileReference>, ApiError> {
    let mut missing = Vec::new();
    let mut read = Vec::new();
    for (id, name, target) in references {
        if id.is_empty() || name.is_empty() {
            return Err(ApiError::invalid_argument(format!(
                "malformed {kind} reference"
            )));
        }
        let target = target.ok_or_else(|| {
            ApiError::invalid_argument(format!("malformed {kind} reference, no target provided"))
        })?;
        let number = |what, text| owner(kind, &name, what, text);
        let (uid, gid) = (number("UID", &target.uid)?, number("GID", &target.gid)?);
        match id.parse::<Id>() {
            Ok(id) => read.push(FileReference {
                id,
                name,
                target: target.name,
                uid,
                gid,
                mode: target.mode,
            }),
            Err(_) => missing.push(name),
        }
    }
    if missing.is_empty() {
        return Ok(read);
    }
    let plural = if missing.len() > 1 { "s" } else { "" };
    let names = missing.join(", ");
    Err(ApiError::invalid_argument(format!(
        "{kind}{plural} not found: {names}"
    )))
}

/// Numbers, as on the node: names of users are the container's own business.
fn owner(kind: FileKind, name: &str, what: &str, text: &str) -> Result<u32, ApiError> {
    if text.is_empty() {
        return Ok(0);
    }
    // The largest means nobody: the kernel would leave the file to root.
    let id = text.parse().ok().filter(|id| *id < u32::MAX);
    id.ok_or_else(|| {
        let limit = u32::MAX;
        ApiError::invalid_argument(format!(
            "invalid {what} {text:?} of {kind} reference '{name}': it must be a number below \
             {limit}"
        ))
    })
}

pub(super) fn show_secret_reference(reference: &FileReference) -> SecretReference {
    SecretReference {
        file: Some(target(reference)),
        id: reference.id.to_string(),
        name: reference.name.clone(),
    }
}

pub(super) fn show_config_reference(reference: &FileReference) -> ConfigFileReference {
    ConfigFileReference {
        file: Some(target(reference)),
        runtime: None,
        id: reference.id.to_string(),
        name: reference.name.clone(),
    }
}

fn target(reference: &FileReference) -> FileTarget {
    FileTarget {
        name: reference.target.clone(),
        uid: reference.uid.to_string(),
        gid: reference.gid.to_string(),
        mode: reference.mode,
    }
}
