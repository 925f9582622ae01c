//! What is mounted into containers: `volumes`, in short and key by key, and
//! `tmpfs`.

use super::super::item::{Fields, Item};
use super::pairs;
use crate::spec::{BindOptions, Mount, MountKind, TmpfsOptions, VolumeOptions};
use crate::text;

const PROPAGATIONS: [&str; 6] = [
    "private", "rprivate", "shared", "rshared", "slave", "rslave",
];
const CONSISTENCIES: [&str; 4] = ["consistent", "cached", "delegated", "default"];

/// The target of `[source:]target[:options]`.
pub(in super::super) fn short_target(text: &str) -> &str {
    let (_, target, _) = split(text);
    target
}

fn split(text: &str) -> (&str, &str, &str) {
    let mut parts = text.splitn(3, ':');
    let first = parts.next().unwrap_or_default();
    match (parts.next(), parts.next()) {
        (None, _) => ("", first, ""),
        (Some(target), options) => (first, target, options.unwrap_or_default()),
    }
}

pub(super) fn read_volumes(item: &Item<'_>) -> Option<Vec<Mount>> {
    item.list_of(|item| match item.node.as_map() {
        Some(_) => read_long(item),
        None => read_short(item),
    })
}

fn mount(kind: MountKind, source: String, target: String) -> Mount {
    Mount {
        kind,
        source,
        target,
        read_only: false,
        consistency: None,
        bind: None,
        volume: None,
        tmpfs: None,
    }
}

/// Whether it is a place of the host and no volume's name.
fn is_path(source: &str) -> bool {
    source.starts_with(['.', '/', '~'])
}

fn read_short(item: &Item<'_>) -> Option<Mount> {
    let text = item.str()?;
    let (source, target, options) = split(text);
    if !target.starts_with('/') {
        item.error(format!(
            "{target:?} is no path within the container: write [source:]/target[:options]"
        ));
        return None;
    }
    let mut mount = match is_path(source) {
        true => mount(MountKind::Bind, resolved(item, source), target.to_owned()),
        false => mount(MountKind::Volume, source.to_owned(), target.to_owned()),
    };
    let is_bind = mount.kind == MountKind::Bind;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "rw" => {}
            "ro" => mount.read_only = true,
            "nocopy" if !is_bind => mount.volume.get_or_insert_default().no_copy = true,
            "z" | "Z" => item.warn("SELinux labels are not set: label the directory on its node"),
            _ if PROPAGATIONS.contains(&option) && is_bind => {
                mount.bind.get_or_insert_default().propagation = Some(option.to_owned());
            }
            _ if CONSISTENCIES.contains(&option) => mount.consistency = Some(option.to_owned()),
            _ => item.error(format!("unknown option {option:?}: there are ro, rw, nocopy, z and the propagations of bind mounts")),
        }
    }
    Some(mount)
}

fn resolved(item: &Item<'_>, path: &str) -> String {
    let source = item.context.source(item.node.mark);
    source.resolve(path).display().to_string()
}

fn read_long(item: &Item<'_>) -> Option<Mount> {
    let mut fields = item.fields()?;
    let source = fields.item("source");
    let kind = read_kind(&mut fields, source.as_ref())?;
    let target = fields.get("target", |item| {
        item.parsed(|text| match text.starts_with('/') {
            true => Ok(text.to_owned()),
            false => Err(format!("{text:?} is no path within the container")),
        })
    });
    let name = match (&source, kind) {
        (None, MountKind::Bind) => {
            fields.error_at("source", "a bind mount needs the path on the node");
            return None;
        }
        (Some(_), MountKind::Tmpfs) => {
            fields.error_at("source", "a tmpfs mount has no source");
            return None;
        }
        (None, _) => String::new(),
        (Some(item), MountKind::Bind) => resolved(item, item.str()?),
        (Some(item), _) => item.text()?,
    };
    if fields.item("target").is_none() {
        item.error("`target` must say where in the container it is mounted");
    }
    let mut mount = mount(kind, name, target.clone().unwrap_or_default());
    mount.read_only = fields.or_default("read_only", Item::boolean);
    mount.consistency = fields.get("consistency", Item::word);
    for &name in MountKind::WORDS {
        if fields.item(name).is_some() && name != kind.as_str() {
            fields.error_at(name, "these are options of another type of mount");
        }
    }
    mount.bind = fields.get("bind", read_bind);
    mount.volume = fields.get("volume", read_volume_options);
    mount.tmpfs = fields.get("tmpfs", read_tmpfs_options);
    for name in ["image", "cluster"] {
        if fields.item(name).is_some() {
            fields.error_at(name, "mounts of this type are not supported");
        }
    }
    fields.finish();
    target.map(|_| mount)
}

fn read_kind(fields: &mut Fields<'_>, source: Option<&Item<'_>>) -> Option<MountKind> {
    let said = fields.item("type");
    let Some(said) = said else {
        let path = source
            .and_then(|item| item.node.as_text())
            .is_some_and(is_path);
        return Some(if path {
            MountKind::Bind
        } else {
            MountKind::Volume
        });
    };
    said.value()
}

fn read_bind(item: &Item<'_>) -> Option<BindOptions> {
    let mut fields = item.fields()?;
    let known = PROPAGATIONS.map(|name| (name, name));
    let options = BindOptions {
        propagation: fields
            .get("propagation", |item| item.one_of(&known))
            .map(str::to_owned),
        non_recursive: fields
            .get("recursive", |item| {
                item.one_of(&[("enabled", false), ("disabled", true)])
            })
            .unwrap_or_default(),
        create_mountpoint: fields.or_default("create_host_path", Item::boolean),
    };
    if fields.item("selinux").is_some() {
        fields.warn_at(
            "selinux",
            "SELinux labels are not set: label the directory on its node",
        );
    }
    fields.finish();
    Some(options)
}

fn read_volume_options(item: &Item<'_>) -> Option<VolumeOptions> {
    let mut fields = item.fields()?;
    let options = VolumeOptions {
        no_copy: fields.or_default("nocopy", Item::boolean),
        subpath: fields.get("subpath", Item::word),
        labels: fields.or_default("labels", pairs::texts),
        driver: None,
    };
    fields.finish();
    Some(options)
}

fn read_tmpfs_options(item: &Item<'_>) -> Option<TmpfsOptions> {
    let mut fields = item.fields()?;
    let options = TmpfsOptions {
        size_bytes: fields.get("size", |item| item.parsed(text::bytes)),
        mode: fields.get("mode", read_mode),
    };
    fields.finish();
    Some(options)
}

/// Permission bits. YAML has octal numbers with a zero in front, and people
/// write them without.
pub(super) fn read_mode(item: &Item<'_>) -> Option<u32> {
    item.parsed(|text| {
        let digits = text.strip_prefix("0o").unwrap_or(text);
        let is_decimal = digits == text && !text.starts_with('0') && is_plain(item);
        let mode = match is_decimal {
            true => digits.parse().ok(),
            false => u32::from_str_radix(digits, 8).ok(),
        };
        let mode = mode.filter(|mode| *mode <= 0o7777);
        let mode = mode.ok_or_else(|| format!("{text:?} is no mode, as 0444 is one"))?;
        if is_decimal {
            item.warn(format!(
                "{text} is a decimal number, the mode {mode:04o}; write modes as 0444"
            ));
        }
        Ok::<_, String>(mode)
    })
}

fn is_plain(item: &Item<'_>) -> bool {
    matches!(&item.node.value, super::super::node::Value::Scalar(scalar) if scalar.is_plain)
}

/// `/run:size=64m,mode=1777`, one or several.
pub(super) fn read_tmpfs(item: &Item<'_>) -> Option<Vec<Mount>> {
    item.many_of(|item| {
        let text = item.str()?;
        let (target, options) = text.split_once(':').unwrap_or((text, ""));
        if !target.starts_with('/') {
            item.error(format!("{target:?} is no path within the container"));
            return None;
        }
        let mut mount = mount(MountKind::Tmpfs, String::new(), target.to_owned());
        for option in options.split(',').filter(|option| !option.is_empty()) {
            read_tmpfs_option(item, option, &mut mount)?;
        }
        Some(mount)
    })
}

fn read_tmpfs_option(item: &Item<'_>, option: &str, mount: &mut Mount) -> Option<()> {
    match option.split_once('=') {
        Some(("size", size)) => {
            let size = item.parsed(|_| text::bytes(size))?;
            mount.tmpfs.get_or_insert_default().size_bytes = Some(size);
        }
        Some(("mode", mode)) => {
            let mode = item.parsed(|_| {
                u32::from_str_radix(mode, 8)
                    .map_err(|_| format!("{mode:?} is no mode, as 1777 is one"))
            })?;
            mount.tmpfs.get_or_insert_default().mode = Some(mode);
        }
        None if option == "ro" => mount.read_only = true,
        None if option == "rw" => {}
        _ => item.warn(format!(
            "the option {option:?} is not set: there are size, mode and ro"
        )),
    }
    Some(())
}
