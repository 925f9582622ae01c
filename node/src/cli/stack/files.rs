//! Secrets and configs: their bytes never change, so that a file with new bytes
//! becomes a new version beside the old one, and services move over to it.
//!
//! The first has the name that Docker's own program gives it; the next ones are
//! `NAME-2`, `NAME-3`, and say by a label what they are versions of. A number
//! and not a hash: the name of a secret must tell nothing of it.

use std::collections::BTreeSet;

use super::diff;
use super::{FileChange, FileStep, Stack, WantedFile};
use crate::api::dto::File;

/// The label of a version that is not the first; its value is the name of that.
pub const VERSION_OF_LABEL: &str = "swarmlet.version-of";

/// Those of `files` that are `name` in the stack or versions of it, oldest
/// first.
pub fn versions<'a>(stack: &Stack, name: &str, files: &'a [File]) -> Vec<&'a File> {
    let mut versions: Vec<&File> = files
        .iter()
        .filter(|file| file.spec.name == name || is_version_of(stack, name, file))
        .collect();
    versions.sort_by_key(|file| number(name, &file.spec.name));
    versions
}

/// Whether it took the place of `name`.
pub fn is_version_of(stack: &Stack, name: &str, file: &File) -> bool {
    let labels = &file.spec.labels;
    stack.has(labels) && labels.get(VERSION_OF_LABEL).is_some_and(|of| of == name)
}

fn number(name: &str, version: &str) -> u64 {
    let suffix = version.strip_prefix(name);
    let number = suffix.and_then(|suffix| suffix.strip_prefix('-'));
    number.and_then(|digits| digits.parse().ok()).unwrap_or(1)
}

/// What becomes of `wanted`, of which `same` says which versions hold its bytes.
/// `files` are all of its kind, and `taken` the names that the stack gives
/// otherwise.
///
/// # Errors
/// It has the name of somebody else's.
pub fn step(
    stack: &Stack,
    wanted: &WantedFile,
    files: &[File],
    taken: &BTreeSet<&str>,
    same: &dyn Fn(&File) -> bool,
) -> Result<FileStep, String> {
    let kind = wanted.kind;
    let base = &wanted.spec.name;
    let versions = versions(stack, base, files);
    let mut spec = wanted.spec.clone();
    if let Some(known) = versions.iter().find(|file| same(file)) {
        spec.name.clone_from(&known.spec.name);
        if spec.name != *base {
            spec.labels.insert(VERSION_OF_LABEL.into(), base.clone());
        }
        let fields = diff::labels(&known.spec.labels, &spec.labels);
        let (id, version) = (known.id.clone(), known.version.index);
        let change = match fields.is_empty() {
            true => FileChange::Keep { id },
            false => FileChange::Label {
                id,
                version,
                fields,
            },
        };
        return Ok(FileStep { kind, spec, change });
    }
    let Some(newest) = versions.last() else {
        let replaces = None;
        let change = FileChange::Create { replaces };
        return Ok(FileStep { kind, spec, change });
    };
    if !stack.has(&newest.spec.labels) {
        return Err(format!(
            "{kind} {base} is there, holds something else and is not of stack {}; remove it, or \
             say another name",
            stack.0
        ));
    }
    let is_taken =
        |name: &str| taken.contains(name) || files.iter().any(|file| file.spec.name == name);
    let mut next = number(base, &newest.spec.name).saturating_add(1);
    spec.name = format!("{base}-{next}");
    while is_taken(&spec.name) {
        next = next.saturating_add(1);
        spec.name = format!("{base}-{next}");
    }
    spec.labels.insert(VERSION_OF_LABEL.into(), base.clone());
    let replaces = Some(newest.spec.name.clone());
    let change = FileChange::Create { replaces };
    Ok(FileStep { kind, spec, change })
}
