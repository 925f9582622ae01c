//! Secrets and configs.

use super::{Outcome, Write, check_version, not_found};
use crate::command::{Answer, RefusalKind};
use crate::file::{FileKind, FileObject, FileSpec};
use crate::id::Id;
use crate::spec::Labels;

impl Write<'_> {
    pub(super) fn create_file(&mut self, kind: FileKind, id: Id, spec: &FileSpec) -> Outcome {
        let taken = self.state.file_named(kind, &spec.name).is_some();
        if taken || self.state.file(kind, id).is_some() {
            let text = format!("{kind} {} already exists", spec.name);
            return Err(RefusalKind::AlreadyExists.because(text));
        }
        self.state.put_file(FileObject {
            id,
            kind,
            meta: self.created(),
            spec: spec.clone(),
        });
        self.versioned()
    }

    pub(super) fn update_file(
        &mut self,
        kind: FileKind,
        id: Id,
        version: u64,
        labels: &Labels,
    ) -> Outcome {
        let known = self.state.file(kind, id);
        let known = known.ok_or_else(|| not_found(kind.as_str(), id))?;
        check_version(known.meta, version)?;
        let meta = self.touch(known.meta);
        if let Some(file) = self.state.edit_file(kind, id) {
            file.spec.labels.clone_from(labels);
            file.meta = meta;
        }
        self.versioned()
    }

    pub(super) fn remove_file(&mut self, kind: FileKind, id: Id) -> Outcome {
        let known = self.state.file(kind, id);
        let known = known.ok_or_else(|| not_found(kind.as_str(), id))?;
        let services = self.state.services().map(|service| &service.spec);
        let users = services.filter(|spec| {
            let mut files = spec.task.container.files(kind).iter();
            files.any(|file| file.id == id)
        });
        let mut users: Vec<&str> = users.map(|spec| spec.name.as_str()).collect();
        if !users.is_empty() {
            users.sort_unstable();
            let plural = if users.len() > 1 { "s" } else { "" };
            return Err(RefusalKind::InvalidArgument.because(format!(
                "{kind} '{}' is in use by the following service{plural}: {}",
                known.spec.name,
                users.join(", ")
            )));
        }
        self.state.drop_file(kind, id);
        Ok(Answer::Done)
    }
}

#[cfg(test)]
mod tests;
