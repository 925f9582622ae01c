//! Compose files: what a stack is written in.

mod files;
mod model;
mod problem;

pub use files::{FileError, Files, MAX_FILE, MAX_FILES};
pub use model::{
    Attachment, Condition, Dependency, Deploy, Device, FileObject, FileSource, FileUse, GpuCount,
    Gpus, IpcMode, Network, NetworkMode, PidMode, Project, Service, Volume,
};
pub use problem::{Place, Problem, Problems};
