//! The variables that a place in a template knows.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{TemplateError, error};

const MAX_VARIABLES: usize = 1000;

/// Of one name the newest counts, until the block that declares it ends.
pub(super) struct Scope<T> {
    /// In the order in which they were declared.
    names: Vec<Rc<str>>,
    values: BTreeMap<Rc<str>, Vec<T>>,
}

impl<T> Scope<T> {
    /// With `$`, what the template is filled with.
    pub(super) fn with_root(root: T) -> Self {
        let name: Rc<str> = "".into();
        Self {
            names: vec![Rc::clone(&name)],
            values: BTreeMap::from([(name, vec![root])]),
        }
    }

    pub(super) fn declare(
        &mut self,
        line: usize,
        name: &Rc<str>,
        value: T,
    ) -> Result<(), TemplateError> {
        if self.names.len() > MAX_VARIABLES {
            return Err(error(line, "the template has too many variables"));
        }
        self.names.push(Rc::clone(name));
        self.values.entry(Rc::clone(name)).or_default().push(value);
        Ok(())
    }

    pub(super) fn get(&self, name: &str) -> Option<&T> {
        self.values.get(name)?.last()
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut T> {
        self.values.get_mut(name)?.last_mut()
    }

    /// To go [back](Self::back) to.
    pub(super) fn mark(&self) -> usize {
        self.names.len()
    }

    pub(super) fn back(&mut self, mark: usize) {
        for name in self.names.drain(mark.min(self.names.len())..) {
            if let Some(values) = self.values.get_mut(&name) {
                values.pop();
            }
        }
    }
}
