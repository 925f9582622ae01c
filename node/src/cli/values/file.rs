//! What a service refers to of secrets and configs: `name`, or the long form
//! `source=name,target=path,uid=0,gid=0,mode=0440`.

use services::file::FileKind;

use super::{Invalid, comma_fields};
use crate::api::dto::FileTarget;

/// Anyone in the container may read it.
const MODE: u32 = 0o444;

/// One `--secret` or `--config`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRequest {
    /// The secret's or the config's name.
    pub source: String,
    pub target: FileTarget,
}

pub fn secret(text: &str) -> Result<FileRequest, Invalid> {
    file(FileKind::Secret, text)
}

pub fn config(text: &str) -> Result<FileRequest, Invalid> {
    file(FileKind::Config, text)
}

fn file(kind: FileKind, text: &str) -> Result<FileRequest, Invalid> {
    let mut request = FileRequest {
        source: String::new(),
        target: FileTarget {
            name: String::new(),
            uid: "0".into(),
            gid: "0".into(),
            mode: MODE,
        },
    };
    match comma_fields(text)?.as_slice() {
        [name] if !name.contains('=') => request.source.clone_from(name),
        fields => {
            for field in fields {
                set(kind, &mut request, field)?;
            }
        }
    }
    if request.source.is_empty() {
        return Err(Invalid::new("source is required"));
    }
    if request.target.name.is_empty() {
        request.target.name.clone_from(&request.source);
    }
    Ok(request)
}

fn set(kind: FileKind, request: &mut FileRequest, field: &str) -> Result<(), Invalid> {
    let (key, value) = field
        .split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .ok_or_else(|| Invalid::new(format!("invalid field '{field}' must be a key=value pair")))?;
    let target = &mut request.target;
    match key.to_ascii_lowercase().as_str() {
        "source" | "src" => request.source = value.to_owned(),
        "target" => target.name = value.to_owned(),
        "uid" => target.uid = value.to_owned(),
        "gid" => target.gid = value.to_owned(),
        "mode" => target.mode = mode(value)?,
        _ => {
            return Err(Invalid::new(format!(
                "invalid field in {kind} request: {key}"
            )));
        }
    }
    Ok(())
}

/// As Go reads numbers: octal where a zero leads.
fn mode(text: &str) -> Result<u32, Invalid> {
    let lower = text.to_ascii_lowercase();
    let prefixed = |prefix: &str, base| {
        let digits = lower.strip_prefix(prefix)?;
        Some(u32::from_str_radix(digits, base))
    };
    let read = prefixed("0x", 16)
        .or_else(|| prefixed("0o", 8))
        .or_else(|| prefixed("0b", 2))
        .or_else(|| prefixed("0", 8).filter(|_| lower.len() > 1))
        .unwrap_or_else(|| lower.parse());
    read.ok()
        .filter(|_| !text.contains('+'))
        .ok_or_else(|| Invalid::new(format!("invalid mode specified: {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_in_both_syntaxes() {
        let short = secret("s1").unwrap();
        assert_eq!((&*short.source, &*short.target.name), ("s1", "s1"));
        assert_eq!(short.target.mode, 0o444);
        let long = config("src=c1,Target=/etc/c.conf,uid=33,gid=7,mode=0440").unwrap();
        assert_eq!(
            long,
            FileRequest {
                source: "c1".into(),
                target: FileTarget {
                    name: "/etc/c.conf".into(),
                    uid: "33".into(),
                    gid: "7".into(),
                    mode: 0o440,
                },
            }
        );
        assert_eq!(config("source=c1").unwrap().target.name, "c1");
    }

    #[test]
    fn modes_are_numbers_as_in_go() {
        for (text, mode) in [("0400", 256), ("256", 256), ("0x100", 256), ("0o400", 256)] {
            let request = secret(&format!("source=s,mode={text}")).unwrap();
            assert_eq!(request.target.mode, mode, "{text}");
        }
        assert_eq!(secret("source=s,mode=0").unwrap().target.mode, 0);
    }

    #[test]
    fn what_names_no_file_is_refused_with_its_reason() {
        for (text, why) in [
            ("", "source is required"),
            ("target=t", "source is required"),
            (
                "source=s,readonly",
                "invalid field 'readonly' must be a key=value pair",
            ),
            ("source=s,=x", "invalid field '=x' must be a key=value pair"),
            ("source=s,mode=09", "invalid mode specified: \"09\""),
            ("source=s,mode=r", "invalid mode specified: \"r\""),
            ("source=s,user=u", "invalid field in secret request: user"),
        ] {
            assert_eq!(secret(text).unwrap_err().to_string(), why, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = config(&text);
        }
    }
}
