//! Placeholders, filled in where a task runs: in the environment, the host name
//! and the mounts of every service, and in secrets and configs that say that they
//! are templates (swarmkit's `template/{context,expand,getter}.go`).
//!
//! What a secret's template says is not told either: of what is wrong with it
//! there is only the line. All templates of a task share one [`Budget`], here and
//! where a service is checked.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::assignment::Assignment;
use crate::file::{FileContent, FileKind, FileSpec};
use crate::id::Id;
use crate::spec::{ContainerSpec, Labels, Mount, Platform, ServiceSpec};
use crate::template::{self, Budget, Lookup, TemplateError, Value};

/// The one template driver.
pub const GOLANG: &str = "golang";

/// The node, as a task on it sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    pub node: Id,
    pub hostname: String,
    pub platform: Platform,
}

/// Why the task cannot be prepared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    #[error("expanding {what} failed: {reason}")]
    Container { what: String, reason: TemplateText },
    #[error("failed to expand templated {kind} {name}: {reason}")]
    File {
        kind: FileKind,
        name: String,
        reason: String,
    },
}

/// A [`TemplateError`] as text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TemplateText(String);

impl From<TemplateError> for TemplateText {
    fn from(error: TemplateError) -> Self {
        Self(error.to_string())
    }
}

/// Whether the task has anything to be filled in.
pub fn is_templated(assignment: &Assignment) -> bool {
    let container = &assignment.spec.task.container;
    let files = assignment.files.values();
    has_placeholders(container) || files.into_iter().any(|file| file.templating.is_some())
}

/// The assignment with all that is known at `place` filled in. It may take 100 ms:
/// nothing for a thread that others wait for.
///
/// # Errors
/// Which template is wrong; the task cannot run.
pub fn expand(assignment: &Assignment, place: &Place) -> Result<Assignment, ExpandError> {
    let spec = &assignment.spec;
    let context = context(&Named {
        service: assignment.service.to_string(),
        spec,
        task: assignment.task.to_string(),
        name: assignment.container_name(place.node),
        slot: match assignment.slot {
            0 => place.node.to_string(),
            slot => slot.to_string(),
        },
        place,
    });
    let mut budget = Budget::default();
    let mut expanded = assignment.clone();
    expanded.files = files(assignment, &context, &mut budget)?;
    if has_placeholders(&spec.task.container) {
        let spec = Arc::make_mut(&mut expanded.spec);
        container(&mut spec.task.container, &context, &mut budget)?;
    }
    Ok(expanded)
}

/// Whether the placeholders of a service mean anything, tried with made-up ids.
pub(crate) fn check_service(spec: &ServiceSpec) -> Result<(), ExpandError> {
    if !has_placeholders(&spec.task.container) {
        return Ok(());
    }
    let context = context(&Named {
        service: "serviceid".to_owned(),
        spec,
        task: "taskid".to_owned(),
        name: "taskname".to_owned(),
        slot: "1".to_owned(),
        place: &Place::default(),
    });
    let mut budget = Budget::default();
    container(&mut spec.task.container.clone(), &context, &mut budget)
}

/// Whether a secret or a config is a template at all. What it refers to is known
/// only where it is used.
pub(crate) fn check_file(kind: FileKind, spec: &FileSpec) -> Result<(), ExpandError> {
    let text = std::str::from_utf8(spec.content.data.bytes());
    let reason = match text.map(|text| template::check(text, &Anything)) {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => shown(kind, &error),
        Err(_) => NO_TEXT.to_owned(),
    };
    Err(ExpandError::File {
        kind,
        name: spec.name.clone(),
        reason,
    })
}

const NO_TEXT: &str = "it is no text";

fn shown(kind: FileKind, error: &TemplateError) -> String {
    match kind {
        FileKind::Config => error.to_string(),
        FileKind::Secret => format!("there is an error in line {}", error.line),
    }
}

struct Named<'a> {
    service: String,
    spec: &'a ServiceSpec,
    task: String,
    name: String,
    slot: String,
    place: &'a Place,
}

fn context(named: &Named<'_>) -> Value {
    let text = |text: &str| Value::Text(text.into());
    let labels = named.spec.labels.iter();
    let labels = labels.map(|(key, value)| (Rc::from(key.as_str()), Rc::from(value.as_str())));
    let platform = &named.place.platform;
    fields([
        (
            "Service",
            fields([
                ("ID", text(&named.service)),
                ("Name", text(&named.spec.name)),
                ("Labels", Value::Map(Rc::new(labels.collect()))),
            ]),
        ),
        (
            "Node",
            fields([
                ("ID", text(&named.place.node.to_string())),
                ("Hostname", text(&named.place.hostname)),
                (
                    "Platform",
                    fields([
                        ("Architecture", text(&platform.architecture)),
                        ("OS", text(&platform.os)),
                    ]),
                ),
            ]),
        ),
        (
            "Task",
            fields([
                ("ID", text(&named.task)),
                ("Name", text(&named.name)),
                ("Slot", text(&named.slot)),
            ]),
        ),
    ])
}

fn fields<const N: usize>(fields: [(&'static str, Value); N]) -> Value {
    Value::Fields(Rc::new(fields.into()))
}

/// Whether anything of a container has to be filled in, or to be tried.
pub fn has_placeholders(container: &ContainerSpec) -> bool {
    let hostname = container.hostname.iter();
    let mounts = container.mounts.iter().flat_map(texts);
    let mut all = container.env.iter().chain(hostname).chain(mounts);
    all.any(|text| template::is_template(text))
}

fn texts(mount: &Mount) -> impl Iterator<Item = &String> {
    let volume = mount.volume.as_ref();
    let labels = volume.map(|it| it.labels.values());
    let options = volume.and_then(|it| it.driver.as_ref());
    let options = options.map(|it| it.options.values());
    let named = [&mount.source, &mount.target].into_iter();
    named
        .chain(labels.into_iter().flatten())
        .chain(options.into_iter().flatten())
}

fn container(
    container: &mut ContainerSpec,
    context: &Value,
    budget: &mut Budget,
) -> Result<(), ExpandError> {
    let mut fill = |what: &dyn Fn() -> String, text: &mut String| {
        if !template::is_template(text) {
            return Ok(());
        }
        match template::expand(text, context, &template::Nothing, budget) {
            Ok(filled) => {
                *text = filled;
                Ok(())
            }
            Err(error) => Err(ExpandError::Container {
                what: what(),
                reason: error.into(),
            }),
        }
    };
    for entry in &mut container.env {
        // Names are no templates.
        let Some((name, value)) = entry.split_once('=') else {
            continue;
        };
        let mut value = value.to_owned();
        fill(
            &|| format!("env {:?}", template::shortened(entry)),
            &mut value,
        )?;
        *entry = format!("{name}={value}");
    }
    for mount in &mut container.mounts {
        let named =
            |what: &str, text: &str| format!("mount {what} {:?}", template::shortened(text));
        let (source, target) = (mount.source.clone(), mount.target.clone());
        fill(&|| named("source", &source), &mut mount.source)?;
        fill(&|| named("target", &target), &mut mount.target)?;
        let Some(volume) = &mut mount.volume else {
            continue;
        };
        let options = volume.driver.as_mut().map(|driver| &mut driver.options);
        let maps: [(&str, Option<&mut Labels>); 2] = [
            ("volume labels", Some(&mut volume.labels)),
            ("volume driver config", options),
        ];
        for (what, map) in maps {
            for value in map.into_iter().flat_map(BTreeMap::values_mut) {
                fill(&|| what.to_owned(), value)?;
            }
        }
    }
    match &mut container.hostname {
        Some(hostname) => fill(&|| "hostname".to_owned(), hostname),
        None => Ok(()),
    }
}

/// What the task's files hold. One that it has at several places is filled in
/// once.
fn files(
    assignment: &Assignment,
    context: &Value,
    budget: &mut Budget,
) -> Result<BTreeMap<Id, Arc<FileContent>>, ExpandError> {
    let lookup = OfTask::new(assignment);
    let mut filled = assignment.files.clone();
    for (kind, reference) in assignment.references() {
        let Some(content) = filled.get(&reference.id) else {
            continue;
        };
        let Some(driver) = &content.templating else {
            continue;
        };
        let text = match (
            driver.name.as_str(),
            std::str::from_utf8(content.data.bytes()),
        ) {
            (GOLANG, Ok(text)) => template::expand(text, context, &lookup, budget)
                .map_err(|error| Cow::Owned(shown(kind, &error))),
            (GOLANG, Err(_)) => Err(Cow::Borrowed(NO_TEXT)),
            _ => Err(Cow::Borrowed("unrecognized template driver")),
        };
        let text = text.map_err(|reason| ExpandError::File {
            kind,
            name: reference.name.clone(),
            reason: reason.into_owned(),
        })?;
        let content = FileContent {
            templating: None,
            data: text.into_bytes().into(),
        };
        filled.insert(reference.id, Arc::new(content));
    }
    Ok(filled)
}

/// What a template of one task may ask for: what its container would see, as it
/// was written.
struct OfTask<'a> {
    /// By target.
    files: BTreeMap<(FileKind, &'a str), &'a FileContent>,
    env: BTreeMap<&'a str, &'a str>,
}

impl<'a> OfTask<'a> {
    fn new(assignment: &'a Assignment) -> Self {
        let container = &assignment.spec.task.container;
        let files = container.all_files().filter_map(|(kind, reference)| {
            let content = assignment.files.get(&reference.id)?;
            Some(((kind, reference.target.as_str()), &**content))
        });
        let env = container.env.iter();
        let env = env.filter_map(|entry| entry.split_once('='));
        Self {
            files: files.collect(),
            // Of one name the first counts.
            env: env.rev().collect(),
        }
    }

    fn file(&self, kind: FileKind, target: &str) -> Result<String, String> {
        let content = self.files.get(&(kind, target));
        let content = content.ok_or_else(|| format!("{kind} target {target} not found"))?;
        let text = std::str::from_utf8(content.data.bytes());
        let text = text.map_err(|_| format!("{kind} target {target}: {NO_TEXT}"));
        text.map(str::to_owned)
    }
}

const LOOKUPS: [&str; 3] = ["secret", "config", "env"];

impl Lookup for OfTask<'_> {
    fn knows(&self, function: &str) -> bool {
        LOOKUPS.contains(&function)
    }

    fn call(&self, function: &str, argument: &str) -> Result<String, String> {
        match function {
            "secret" => self.file(FileKind::Secret, argument),
            "config" => self.file(FileKind::Config, argument),
            _ => Ok(self
                .env
                .get(argument)
                .copied()
                .unwrap_or_default()
                .to_owned()),
        }
    }
}

/// To see whether a template can be read.
struct Anything;

impl Lookup for Anything {
    fn knows(&self, function: &str) -> bool {
        LOOKUPS.contains(&function)
    }

    fn call(&self, _: &str, _: &str) -> Result<String, String> {
        Ok(String::new())
    }
}

#[cfg(test)]
mod tests;
