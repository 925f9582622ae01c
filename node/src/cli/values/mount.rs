//! Mounts: `type=bind,source=/srv,target=/data,readonly`.

use super::{Invalid, boolean, bytes, comma_fields};
use crate::api::dto::{BindOptions, Driver, Mount, TmpfsOptions, VolumeOptions};

const KINDS: [&str; 3] = ["bind", "volume", "tmpfs"];

/// One `--mount`; a volume where no type is said.
pub fn mount(text: &str) -> Result<Mount, Invalid> {
    let mut mount = Mount {
        kind: "volume".into(),
        ..Mount::default()
    };
    for field in comma_fields(text)? {
        match field.split_once('=') {
            Some((key, value)) => set(&mut mount, &field, key, value)?,
            None => set_flag(&mut mount, &field)?,
        }
    }
    check(&mount)?;
    Ok(mount)
}

/// A field without a value.
fn set_flag(mount: &mut Mount, field: &str) -> Result<(), Invalid> {
    match field {
        "readonly" | "ro" => mount.read_only = true,
        "volume-nocopy" => volume(mount).no_copy = true,
        "bind-nonrecursive" => bind(mount).non_recursive = true,
        _ => {
            return Err(Invalid::new(format!(
                "invalid field '{field}' must be a key=value pair"
            )));
        }
    }
    Ok(())
}

fn set(mount: &mut Mount, field: &str, key: &str, value: &str) -> Result<(), Invalid> {
    let invalid = || Invalid::new(format!("invalid value for {key}: {value}"));
    let truth = || boolean(value).map_err(|_| invalid());
    match key {
        "type" => mount.kind = value.to_ascii_lowercase(),
        "source" | "src" => mount.source = value.to_owned(),
        "target" | "dst" | "destination" => mount.target = value.to_owned(),
        "readonly" | "ro" => mount.read_only = truth()?,
        "consistency" => mount.consistency = value.to_ascii_lowercase(),
        "bind-propagation" => bind(mount).propagation = value.to_ascii_lowercase(),
        "bind-nonrecursive" => bind(mount).non_recursive = truth()?,
        "volume-nocopy" => volume(mount).no_copy = truth()?,
        "volume-subpath" => volume(mount).subpath = value.to_owned(),
        "volume-driver" => driver(mount).name = value.to_owned(),
        "volume-opt" | "volume-label" => {
            let (name, value) = value.split_once('=').unwrap_or((value, ""));
            let map = match key {
                "volume-opt" => &mut driver(mount).options,
                _ => &mut volume(mount).labels,
            };
            if !name.is_empty() {
                map.insert(name.to_owned(), value.to_owned());
            }
        }
        "tmpfs-size" => tmpfs(mount).size_bytes = Some(bytes(value).map_err(|_| invalid())?),
        "tmpfs-mode" => {
            let mode = u32::from_str_radix(value, 8).map_err(|_| invalid())?;
            tmpfs(mount).mode = Some(mode);
        }
        _ => {
            return Err(Invalid::new(format!("unexpected key '{key}' in '{field}'")));
        }
    }
    Ok(())
}

fn bind(mount: &mut Mount) -> &mut BindOptions {
    mount.bind_options.get_or_insert_default()
}

fn volume(mount: &mut Mount) -> &mut VolumeOptions {
    mount.volume_options.get_or_insert_default()
}

fn driver(mount: &mut Mount) -> &mut Driver {
    volume(mount).driver_config.get_or_insert_default()
}

fn tmpfs(mount: &mut Mount) -> &mut TmpfsOptions {
    mount.tmpfs_options.get_or_insert_default()
}

fn check(mount: &Mount) -> Result<(), Invalid> {
    if mount.kind.is_empty() {
        return Err(Invalid::new("type is required"));
    }
    if mount.target.is_empty() {
        return Err(Invalid::new("target is required"));
    }
    let kind = &mount.kind;
    if !KINDS.contains(&kind.as_str()) {
        return Err(Invalid::new(format!(
            "mount type '{kind}' is not supported: use {}",
            KINDS.join(", ")
        )));
    }
    for (options, present) in [
        ("volume", mount.volume_options.is_some()),
        ("bind", mount.bind_options.is_some()),
        ("tmpfs", mount.tmpfs_options.is_some()),
    ] {
        if present && kind != options {
            return Err(Invalid::new(format!(
                "cannot mix '{options}-*' options with mount type '{kind}'"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        serde_json::to_string(&mount(text).unwrap()).unwrap()
    }

    #[test]
    fn mounts_are_read_in_dockers_syntax() {
        insta::assert_snapshot!(
            json("type=bind,src=/srv,dst=/data,ro,bind-propagation=rslave"),
            @r#"{"Type":"bind","Source":"/srv","Target":"/data","ReadOnly":true,"BindOptions":{"Propagation":"rslave"}}"#
        );
        insta::assert_snapshot!(
            json(r#"source=v,target=/v,readonly=false,volume-driver=local,"volume-opt=o=a,b",volume-label=x"#),
            @r#"{"Type":"volume","Source":"v","Target":"/v","VolumeOptions":{"Labels":{"x":""},"DriverConfig":{"Name":"local","Options":{"o":"a,b"}}}}"#
        );
        insta::assert_snapshot!(
            json("type=tmpfs,destination=/t,tmpfs-size=1m,tmpfs-mode=1770"),
            @r#"{"Type":"tmpfs","Target":"/t","TmpfsOptions":{"SizeBytes":1048576,"Mode":1016}}"#
        );
    }

    #[test]
    fn what_is_no_mount_is_refused_with_its_reason() {
        for (text, why) in [
            ("type=bind,source=/a", "target is required"),
            ("target=/a,type=", "type is required"),
            ("/a:/b", "invalid field '/a:/b' must be a key=value pair"),
            ("target=/a,mode=1", "unexpected key 'mode' in 'mode=1'"),
            ("target=/a,ro=maybe", "invalid value for ro: maybe"),
            (
                "target=/a,type=tmpfs,tmpfs-mode=9",
                "invalid value for tmpfs-mode: 9",
            ),
            (
                "target=/a,type=bind,volume-nocopy",
                "cannot mix 'volume-*' options with mount type 'bind'",
            ),
            (
                "target=/a,type=npipe",
                "mount type 'npipe' is not supported: use bind, volume, tmpfs",
            ),
        ] {
            assert_eq!(mount(text).unwrap_err().to_string(), why, "{text}");
        }
    }
}
