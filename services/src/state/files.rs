//! Secrets and configs, by id and by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::command::{Refusal, RefusalKind};
use crate::file::{FileContent, FileKind, FileObject, FileReference};
use crate::id::Id;
use crate::object::TaskState;
use crate::spec::ServiceSpec;
use crate::state::{State, find};

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Files {
    secrets: Table,
    configs: Table,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Table {
    by_id: BTreeMap<Id, Arc<FileObject>>,
    /// By lower-case name, as services.
    by_name: BTreeMap<String, Id>,
}

impl Files {
    fn of(&self, kind: FileKind) -> &Table {
        match kind {
            FileKind::Secret => &self.secrets,
            FileKind::Config => &self.configs,
        }
    }

    fn of_mut(&mut self, kind: FileKind) -> &mut Table {
        match kind {
            FileKind::Secret => &mut self.secrets,
            FileKind::Config => &mut self.configs,
        }
    }
}

/// Reading.
impl State {
    pub fn file(&self, kind: FileKind, id: Id) -> Option<&Arc<FileObject>> {
        self.files.of(kind).by_id.get(&id)
    }

    /// In the order of their ids.
    pub fn files(&self, kind: FileKind) -> impl ExactSizeIterator<Item = &Arc<FileObject>> {
        self.files.of(kind).by_id.values()
    }

    /// By full id, else exact name, else the one id that starts so.
    ///
    /// # Errors
    /// As [`State::find_service`].
    pub fn find_file(&self, kind: FileKind, text: &str) -> Result<&Arc<FileObject>, Refusal> {
        let by_name = self.file_named(kind, text).map(|file| file.id);
        let objects = &self.files.of(kind).by_id;
        find(kind.as_str(), text, objects, by_name.into_iter())
    }

    pub(crate) fn file_named(&self, kind: FileKind, name: &str) -> Option<&Arc<FileObject>> {
        let id = self.files.of(kind).by_name.get(&name.to_lowercase())?;
        self.file(kind, *id)
    }

    /// Whether all that the spec refers to is there, under the names it says.
    pub(crate) fn check_files(&self, spec: &ServiceSpec) -> Result<(), Refusal> {
        FileKind::ALL
            .into_iter()
            .try_for_each(|kind| self.check_references(kind, spec.task.container.files(kind)))
    }

    fn check_references(
        &self,
        kind: FileKind,
        references: &[FileReference],
    ) -> Result<(), Refusal> {
        let is_there = |reference: &FileReference| {
            let file = self.file(kind, reference.id);
            file.is_some_and(|file| file.spec.name == reference.name)
        };
        let missing = references.iter().filter(|it| !is_there(it));
        let missing: Vec<&str> = missing.map(|it| it.name.as_str()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let plural = if missing.len() > 1 { "s" } else { "" };
        let text = format!("{kind}{plural} not found: {}", missing.join(", "));
        Err(RefusalKind::InvalidArgument.because(text))
    }

    /// What the tasks of `node` need while they are to be prepared or to run.
    pub fn files_of(&self, node: Id) -> BTreeMap<Id, Arc<FileContent>> {
        let tasks = self.assigned(node);
        let open = tasks.filter(|task| task.ordered() <= TaskState::Running);
        let references = open.flat_map(|task| task.spec.task.container.all_files());
        let contents = references.filter_map(|(kind, reference)| {
            let file = self.file(kind, reference.id)?;
            Some((file.id, Arc::clone(&file.spec.content)))
        });
        contents.collect()
    }
}

/// Writes, which keep the indexes true.
impl State {
    pub(crate) fn put_file(&mut self, file: FileObject) {
        let table = self.files.of_mut(file.kind);
        table.by_name.insert(file.spec.name.to_lowercase(), file.id);
        table.by_id.insert(file.id, Arc::new(file));
    }

    /// The name and the content must not be changed through this.
    pub(crate) fn edit_file(&mut self, kind: FileKind, id: Id) -> Option<&mut FileObject> {
        let table = self.files.of_mut(kind);
        table.by_id.get_mut(&id).map(Arc::make_mut)
    }

    pub(crate) fn drop_file(&mut self, kind: FileKind, id: Id) {
        let table = self.files.of_mut(kind);
        if let Some(file) = table.by_id.remove(&id) {
            table.by_name.remove(&file.spec.name.to_lowercase());
        }
    }
}
