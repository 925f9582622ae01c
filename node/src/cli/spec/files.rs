//! The secrets and configs of a service.

use super::Ids;
use crate::api::dto::{ConfigFileReference, ContainerSpec, FileTarget, SecretReference};
use crate::cli::values::{FileRequest, Invalid};

/// Adds what flags ask for; `ids` say what names stand for.
pub fn add(
    container: &mut ContainerSpec,
    secrets: (&[FileRequest], &Ids),
    configs: (&[FileRequest], &Ids),
) -> Result<(), Invalid> {
    for (id, name, file) in found("secret", secrets)? {
        let file = Some(file);
        container.secrets.push(SecretReference { file, id, name });
    }
    for (id, name, file) in found("config", configs)? {
        container.configs.push(ConfigFileReference {
            file: Some(file),
            runtime: None,
            id,
            name,
        });
    }
    Ok(())
}

/// What the service does not have is left out.
pub fn remove(container: &mut ContainerSpec, secrets: &[String], configs: &[String]) {
    container.secrets.retain(|it| !secrets.contains(&it.name));
    container.configs.retain(|it| !configs.contains(&it.name));
}

/// Id, name and target of each.
fn found(
    kind: &str,
    (requests, ids): (&[FileRequest], &Ids),
) -> Result<Vec<(String, String, FileTarget)>, Invalid> {
    let mut found: Vec<(String, String, FileTarget)> = Vec::new();
    for FileRequest { source, target } in requests {
        if found.iter().any(|(_, _, other)| other.name == target.name) {
            return Err(Invalid::new(format!(
                "duplicate {kind} target for {source} not allowed"
            )));
        }
        let id = ids.0.get(source);
        let id = id.ok_or_else(|| Invalid::new(format!("{kind} not found: {source}")))?;
        found.push((id.clone(), source.clone(), target.clone()));
    }
    Ok(found)
}
