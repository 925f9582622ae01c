//! A stack: what one Compose project makes in the swarm, held together by a
//! label.
//!
//! [`Wanted`] is the project in the API's terms, [`Found`] is what is there, and
//! [`plan`] says what a deploy changes, which [`show`] prints. All of it is pure;
//! what is there and what images are is read by the commands. Names, labels and
//! order are those of Docker's own program, so that a stack that it deployed and
//! one that we did are the same.

mod canonical;
mod diff;
mod files;
mod networks;
mod options;
mod order;
mod plan;
mod service;
mod show;
mod spec;
mod wanted;

#[cfg(test)]
mod tests;

pub use files::versions;
pub use plan::{
    FileChange, FileStep, Found, Images, Pinned, Plan, ServiceChange, ServiceStep, plan,
};
pub use show::show;
pub use wanted::{Wanted, WantedFile, WantedService, wanted};

use crate::api::dto::Labels;

/// The label of everything in a stack; its value is the stack's name.
pub const NAMESPACE_LABEL: &str = "com.docker.stack.namespace";
/// The label of a service that says its image as the file does, without what a
/// registry made of it.
pub const IMAGE_LABEL: &str = "com.docker.stack.image";

/// The name of a stack, and what it makes of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack(pub String);

impl Stack {
    /// What `key` of the project is called in the swarm.
    fn scoped(&self, key: &str) -> String {
        format!("{}_{key}", self.0)
    }

    /// As the project calls it, where it says a name of its own.
    fn name_of(&self, key: &str, said: Option<&String>) -> String {
        said.cloned().unwrap_or_else(|| self.scoped(key))
    }

    fn labels(&self, said: &Labels) -> Labels {
        let mut labels = said.clone();
        labels.insert(NAMESPACE_LABEL.into(), self.0.clone());
        labels
    }

    /// Whether what has these labels belongs to it.
    pub fn has(&self, labels: &Labels) -> bool {
        labels.get(NAMESPACE_LABEL) == Some(&self.0)
    }
}
