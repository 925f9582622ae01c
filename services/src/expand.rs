//! Placeholders, filled in where a task runs: in the environment, the host name
//! and the mounts of every service, and in secrets and configs that say that they
//! are templates (swarmkit's `template/{context,expand,getter}.go`).
//!
//! What a secret's template says is not told either: of what is wrong with it
//! there is only the line.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::assignment::Assignment;
use crate::file::{FileContent, FileKind, FileSpec};
use crate::id::Id;
use crate::spec::{ContainerSpec, Labels, Mount, Platform, ServiceSpec};
use crate::template::{self, Lookup, TemplateError, Value};

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

/// The assignment with all that is known at `place` filled in.
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
    let mut expanded = assignment.clone();
    expanded.files = files(assignment, &context)?;
    if has_placeholders(&spec.task.container) {
        let spec = Arc::make_mut(&mut expanded.spec);
        container(&mut spec.task.container, &context)?;
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
    container(&mut spec.task.container.clone(), &context)
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
    let text = |text: &str| Value::Text(text.to_owned());
    let platform = &named.place.platform;
    fields([
        (
            "Service",
            fields([
                ("ID", text(&named.service)),
                ("Name", text(&named.spec.name)),
                ("Labels", Value::Map(named.spec.labels.clone())),
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
    Value::Fields(fields.into())
}

/// All that may be a template, of a container.
fn has_placeholders(container: &ContainerSpec) -> bool {
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

fn container(container: &mut ContainerSpec, context: &Value) -> Result<(), ExpandError> {
    let fill = |what: &dyn Fn() -> String, text: &mut String| {
        if !template::is_template(text) {
            return Ok(());
        }
        match template::expand(text, context, &template::Nothing) {
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
        fill(&|| format!("env {entry:?}"), &mut value)?;
        *entry = format!("{name}={value}");
    }
    for mount in &mut container.mounts {
        let named = |what: &str, text: &String| format!("mount {what} {text:?}");
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

/// What the task's files hold.
fn files(
    assignment: &Assignment,
    context: &Value,
) -> Result<BTreeMap<Id, Arc<FileContent>>, ExpandError> {
    let mut filled = assignment.files.clone();
    for (kind, reference) in assignment.references() {
        let Some(content) = assignment.files.get(&reference.id) else {
            continue;
        };
        let Some(driver) = &content.templating else {
            continue;
        };
        let text = match (
            driver.name.as_str(),
            std::str::from_utf8(content.data.bytes()),
        ) {
            (GOLANG, Ok(text)) => template::expand(text, context, &OfTask(assignment))
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
struct OfTask<'a>(&'a Assignment);

impl Lookup for OfTask<'_> {
    fn call(&self, function: &str, argument: &str) -> Option<Result<String, String>> {
        Some(match function {
            "secret" => self.file(FileKind::Secret, argument),
            "config" => self.file(FileKind::Config, argument),
            "env" => Ok(self.env(argument)),
            _ => return None,
        })
    }
}

impl OfTask<'_> {
    fn file(&self, kind: FileKind, target: &str) -> Result<String, String> {
        let mut files = self.0.spec.task.container.files(kind).iter();
        let content = files
            .find(|reference| reference.target == target)
            .and_then(|reference| self.0.files.get(&reference.id))
            .ok_or_else(|| format!("{kind} target {target} not found"))?;
        let text = std::str::from_utf8(content.data.bytes());
        let text = text.map_err(|_| format!("{kind} target {target}: {NO_TEXT}"));
        text.map(str::to_owned)
    }

    fn env(&self, name: &str) -> String {
        let entries = self.0.spec.task.container.env.iter();
        let mut pairs = entries.filter_map(|entry| entry.split_once('='));
        let found = pairs.find(|(known, _)| *known == name);
        found.map(|(_, value)| value.to_owned()).unwrap_or_default()
    }
}

/// To see whether a template can be read.
struct Anything;

impl Lookup for Anything {
    fn call(&self, function: &str, _: &str) -> Option<Result<String, String>> {
        ["secret", "config", "env"]
            .contains(&function)
            .then(|| Ok(String::new()))
    }
}

#[cfg(test)]
mod tests;
