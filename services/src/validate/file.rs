//! Which secrets and configs are accepted (swarmkit's
//! `manager/controlapi/{secret,config,common}.go`), and which references to
//! them (`service.go`).

use std::collections::BTreeMap;

use super::{invalid, is_word};
use crate::command::{Refusal, RefusalKind};
use crate::expand;
use crate::file::{FileKind, FileReference, FileSpec};

const MAX_NAME: usize = 64;
/// Bytes; so many are one too many.
const MAX_SECRET: usize = 500 << 10;
const MAX_CONFIG: usize = 1000 << 10;
/// Of one kind; each is a file of its own for each task.
const MAX_REFERENCES: usize = 500;

/// # Errors
/// Why the spec is refused, with the kind and text that Docker answers.
pub fn validate_file(kind: FileKind, spec: &FileSpec) -> Result<(), Refusal> {
    check_name(&spec.name)?;
    let limit = match kind {
        FileKind::Secret => MAX_SECRET,
        FileKind::Config => MAX_CONFIG,
    };
    let size = spec.content.data.bytes().len();
    if size == 0 || size >= limit {
        return Err(invalid(format!(
            "{kind} data must be larger than 0 and less than {limit} bytes"
        )));
    }
    let driver = spec.content.templating.as_ref().map(|it| it.name.as_str());
    match driver {
        None => Ok(()),
        Some(expand::GOLANG) => expand::check_file(kind, spec).map_err(|error| {
            let text = error.to_string();
            invalid(text)
        }),
        Some(driver) => Err(RefusalKind::Unimplemented.because(format!(
            "template driver {driver:?} is not supported; the only one is {:?}",
            expand::GOLANG
        ))),
    }
}

fn check_name(name: &str) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err(invalid("name must be provided"));
    }
    if name.len() > MAX_NAME || !is_word(name, b"-_.") {
        return Err(invalid(
            "invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end \
             character must be [a-zA-Z0-9]",
        ));
    }
    Ok(())
}

/// Whether what they refer to is there is seen when the service is written.
pub(super) fn check_references(
    kind: FileKind,
    references: &[FileReference],
) -> Result<(), Refusal> {
    if references.len() > MAX_REFERENCES {
        return Err(invalid(format!(
            "ContainerSpec: a service cannot have more than {MAX_REFERENCES} {kind}s"
        )));
    }
    let mut targets: BTreeMap<&str, &str> = BTreeMap::new();
    for FileReference { name, target, .. } in references {
        if name.is_empty() {
            return Err(invalid(format!("malformed {kind} reference")));
        }
        if target.is_empty() {
            return Err(invalid(format!(
                "malformed file {kind} reference, invalid target file name provided"
            )));
        }
        if let Some(other) = targets.insert(target, name) {
            return Err(invalid(format!(
                "{kind} references '{other}' and '{name}' have a conflicting target: '{target}'"
            )));
        }
    }
    Ok(())
}
