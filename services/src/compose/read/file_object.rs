//! Secrets and configs of the project, and which of them a service has as
//! files.

use super::super::item::{Fields, Item};
use super::super::model::{FileObject, FileSource, FileUse};
use super::mount::read_mode;
use super::{External, ignore_beside_external, pairs, read_external};
use crate::file::FileKind;
use crate::spec::Driver;

/// Docker's: everybody may read it.
const MODE: u32 = 0o444;

pub(super) fn read_object(kind: FileKind, name: &str, item: &Item<'_>) -> Option<FileObject> {
    let mut fields = item.fields()?;
    let External { is_external, name } = read_external(&mut fields, name);
    let source = match is_external {
        true => {
            ignore_beside_external(&mut fields, &["file", "environment", "content"]);
            ignore_beside_external(&mut fields, &["labels", "template_driver"]);
            Some(FileSource::External)
        }
        false => read_source(kind, &mut fields),
    };
    let object = FileObject {
        name,
        source: source.clone().unwrap_or(FileSource::External),
        labels: fields.or_default("labels", pairs::texts),
        templating: fields
            .get("template_driver", Item::word)
            .map(|name| Driver {
                name,
                ..Driver::default()
            }),
    };
    for name in ["driver", "driver_opts"] {
        if fields.item(name).is_some() {
            fields.error_at(
                name,
                "drivers of secrets are not supported: use `file` or `environment`",
            );
        }
    }
    fields.finish();
    source.map(|_| object)
}

fn read_source(kind: FileKind, fields: &mut Fields<'_>) -> Option<FileSource> {
    let file = fields.item("file");
    let variable = fields.item("environment");
    let content = fields.item("content");
    let said = [&file, &variable, &content].into_iter().flatten().count();
    if said != 1 {
        let text = match kind {
            FileKind::Secret => {
                "one of `file`, `environment` and `external: true` says where it is"
            }
            FileKind::Config => {
                "one of `file`, `content`, `environment` and `external: true` says where it is"
            }
        };
        if fields.item("driver").is_none() {
            fields.item.error(text);
        }
        return None;
    }
    if let Some(item) = file {
        let path = item.word()?;
        let source = item.context.source(item.node.mark);
        return Some(FileSource::File(source.resolve(&path)));
    }
    if let Some(item) = variable {
        let variable = item.word()?;
        let source = item.context.source(item.node.mark);
        let Some(value) = source.environment.get(&variable) else {
            item.error(format!("the variable {variable} is not set"));
            return None;
        };
        let value = value.clone().into_bytes().into();
        return Some(FileSource::Environment { variable, value });
    }
    let content = content?;
    if kind == FileKind::Secret {
        content
            .error("the content of a secret does not stand in a file: use `file` or `environment`");
        return None;
    }
    content.text().map(FileSource::Content)
}

/// `secrets` or `configs` of a service.
pub(super) fn read_uses(item: &Item<'_>) -> Option<Vec<FileUse>> {
    item.list_of(|item| {
        if item.node.as_map().is_none() {
            let source = item.word()?;
            return Some(FileUse {
                target: source.clone(),
                source,
                mode: MODE,
                ..FileUse::default()
            });
        }
        let mut fields = item.fields()?;
        let source = fields.get("source", Item::word);
        if fields.item("source").is_none() {
            item.error("`source` must say which one it is");
        }
        let target = fields.get("target", Item::word);
        let owner = |item: &Item<'_>| item.number(0, u32::MAX);
        let uid = fields.or_default("uid", owner);
        let gid = fields.or_default("gid", owner);
        let mode = fields.get("mode", read_mode).unwrap_or(MODE);
        fields.finish();
        let source = source?;
        Some(FileUse {
            target: target.unwrap_or_else(|| source.clone()),
            source,
            uid,
            gid,
            mode,
        })
    })
}
