//! Compose files: what a stack is written in.
//!
//! [`load`] makes one [`Project`] of several files, as the
//! [Compose specification](https://github.com/compose-spec/compose-spec) says:
//! each is read into a tree that knows the place of everything in it, variables
//! are put in, what it includes and extends is brought in, the trees are laid
//! over each other, and the whole is read into the model. Every key is
//! honoured, or a warning or an error says what becomes of it.

mod budget;
mod context;
mod dotenv;
mod extends;
mod files;
mod include;
mod interpolate;
mod item;
mod layers;
mod merge;
mod model;
mod nearest;
mod node;
mod problem;
mod read;
#[cfg(test)]
mod tests;
mod write;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;

use context::{Context, normal};
pub use files::{FileError, Files, MAX_FILE, MAX_FILES};
use layers::Layers;
pub use model::{
    Attachment, Condition, Dependency, Deploy, FileObject, FileSource, FileUse, Network,
    NetworkMode, Project, Service, Volume,
};
use node::{Mark, Node};
pub use problem::{Place, Problem, Problems};

/// Profiles that are on, in a list with commas.
const PROFILES: &str = "COMPOSE_PROFILES";

/// What to load.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Each is laid over those before it. How they are written is how problems
    /// name them.
    pub files: Vec<PathBuf>,
    /// Absolute: what relative paths in the files are relative to.
    pub project_dir: PathBuf,
    /// Of who deploys.
    pub environment: BTreeMap<String, String>,
    /// Variables beneath the environment. `None`: `.env` in the project's
    /// directory, if it is there.
    pub env_files: Option<Vec<PathBuf>>,
    /// Those that are on, beside the ones that `COMPOSE_PROFILES` names.
    pub profiles: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    pub project: Project,
    /// What the files say and is not done.
    pub warnings: Vec<Problem>,
}

/// # Errors
/// All that is wrong with the files, or the first of it where the rest cannot
/// be read.
pub fn load(request: &Request, files: &dyn Files) -> Result<Loaded, Problems> {
    let context = Context::new(files, &normal(&request.project_dir), true);
    let read = |(tree, profiles): (Node, _)| read::read_model(&tree, &profiles, &context);
    let project = read_tree(request, &context).and_then(read);
    if project.is_none() && context.is_clean() {
        context.error(Mark::NOWHERE, "", "the files cannot be made one project");
    }
    let warnings = context.finish()?;
    Ok(Loaded {
        project: project.unwrap_or_default(),
        warnings,
    })
}

/// The files as one, in YAML, with variables and relative paths as they are
/// written. Its keys are not looked at.
///
/// # Errors
/// Why the files cannot be laid over each other.
pub fn merged(request: &Request, files: &dyn Files) -> Result<String, Problems> {
    let context = Context::new(files, &normal(&request.project_dir), false);
    let tree = read_tree(request, &context);
    context.finish()?;
    Ok(tree
        .map(|(tree, _)| write::as_written(&tree))
        .unwrap_or_default())
}

/// The tree of all files, and the profiles that are on. `None` where something
/// is wrong, which has been noted.
fn read_tree(request: &Request, context: &Context<'_>) -> Option<(Node, BTreeSet<String>)> {
    if request.files.is_empty() {
        context.error(Mark::NOWHERE, "", "no Compose file was named");
        return None;
    }
    let root = context.root();
    let env_files = request.env_files.clone();
    let environment =
        include::with_env_files(&request.environment, env_files, root, None, context)?;
    let named = environment.get(PROFILES).map_or("", String::as_str);
    let named = named
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    let mut profiles = request.profiles.clone();
    profiles.extend(named.map(str::to_owned));
    let names: Vec<String> = request
        .files
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let layers = Layers {
        paths: &request.files,
        names: &names,
        base: root,
        environment: Rc::new(environment),
    };
    let tree = layers::read_project(&layers, None, context, &mut Vec::new())?;
    Some((tree, profiles))
}
