//! A context of the docker program that leads to a swarmlet daemon:
//! `contexts/meta/<SHA-256 of its name>/meta.json`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{Directory, unusable};
use crate::cli::args::Socket;
use crate::cli::error::CliError;
use crate::cli::values::Invalid;

const META: &str = "meta.json";
const CONFIG: &str = "config.json";
/// Of the configuration: the context that is used where none is said.
const CURRENT: &str = "currentContext";
/// Set on a context of ours: others are not overwritten.
const OWNER: &str = "swarmlet";

/// What an installation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Installed {
    Made,
    Changed,
    /// It was as it is to be.
    Already,
}

impl Directory {
    /// Makes the context `name` lead to the daemon at `socket`.
    ///
    /// # Errors
    /// There is another of this name that somebody else made, or no file can be
    /// written.
    pub fn install_context(&self, name: &str, socket: &Socket) -> Result<Installed, CliError> {
        check_name(name)?;
        let path = self.meta(name);
        let known = read(&path)?;
        if known.as_ref().is_some_and(|known| !is_ours(known)) {
            let text = format!(
                "there is a context {name} that swarmlet did not make; take another --name, or \
                 remove it with: docker context rm {name}"
            );
            return Err(Invalid::new(text).into());
        }
        let meta = json!({
            "Name": name,
            "Metadata": {"Description": "The swarm of this device", OWNER: true},
            "Endpoints": {"docker": {"Host": socket.to_string(), "SkipTLSVerify": false}},
        });
        let Some(known) = known else {
            write(&path, &meta)?;
            return Ok(Installed::Made);
        };
        if known == meta {
            return Ok(Installed::Already);
        }
        write(&path, &meta)?;
        Ok(Installed::Changed)
    }

    /// Removes the context `name`; whether there was one. Where it was in use,
    /// none is afterwards.
    ///
    /// # Errors
    /// It is not one that swarmlet made, or cannot be removed.
    pub fn remove_context(&self, name: &str) -> Result<bool, CliError> {
        check_name(name)?;
        let path = self.meta(name);
        match read(&path)? {
            None => return Ok(false),
            Some(known) if !is_ours(&known) => {
                let text = format!(
                    "swarmlet did not make the context {name}; remove it with: docker context rm \
                     {name}"
                );
                return Err(Invalid::new(text).into());
            }
            Some(_) => {}
        }
        self.edit_config(|config| {
            if config.get(CURRENT).is_some_and(|current| current == name) {
                config.remove(CURRENT);
            }
        })?;
        let folder = path.parent().unwrap_or(&path);
        fs::remove_dir_all(folder).map_err(unusable(folder))?;
        Ok(true)
    }

    /// Makes `name` the context of every docker command that says none.
    ///
    /// # Errors
    /// The configuration cannot be read or written.
    pub fn use_context(&self, name: &str) -> Result<(), CliError> {
        self.edit_config(|config| {
            config.insert(CURRENT.to_owned(), name.into());
        })
    }

    fn edit_config(&self, edit: impl FnOnce(&mut Map<String, Value>)) -> Result<(), CliError> {
        let path = self.join(CONFIG);
        let before = match read(&path)? {
            None => Map::new(),
            Some(Value::Object(config)) => config,
            Some(_) => return Err(no_json(&path)),
        };
        let mut config = before.clone();
        edit(&mut config);
        match config == before {
            true => Ok(()),
            false => write(&path, &Value::Object(config)),
        }
    }

    fn meta(&self, name: &str) -> PathBuf {
        let digest = certs::sha256(name.as_bytes());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        self.join("contexts/meta").join(digest).join(META)
    }
}

/// Docker's rule.
fn check_name(name: &str) -> Result<(), Invalid> {
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || b"_.+-".contains(&byte);
    let first = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    match name {
        "default" => Err(Invalid::new("\"default\" is a reserved context name")),
        name if first && name.len() > 1 && name.bytes().all(rest) => Ok(()),
        name => Err(Invalid::new(format!(
            "context name {name:?} is invalid: two letters, digits or _.+- at least, and the \
             first is no sign"
        ))),
    }
}

fn is_ours(meta: &Value) -> bool {
    meta["Metadata"][OWNER] == true
}

fn read(path: &Path) -> Result<Option<Value>, CliError> {
    match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(path)(error)),
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|_| no_json(path)),
    }
}

fn no_json(path: &Path) -> CliError {
    Invalid::new(format!(
        "{} is no file of docker's: no JSON",
        path.display()
    ))
    .into()
}

/// Whole or not at all; as readable as the docker program would make it.
fn write(path: &Path, value: &Value) -> Result<(), CliError> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(unusable(folder))?;
    let mut bytes = serde_json::to_vec_pretty(value).map_err(std::io::Error::from)?;
    bytes.push(b'\n');
    let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut file| {
        std::io::Write::write_all(&mut file, &bytes)?;
        if let Ok(before) = fs::metadata(path) {
            file.as_file().set_permissions(before.permissions())?;
        }
        file.persist(path).map_err(|error| error.error)
    });
    written.map(drop).map_err(unusable(path))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::Cli;

    fn socket(text: &str) -> Socket {
        Cli::try_parse_from(["swarmlet", "-H", text, "info"])
            .unwrap()
            .host
    }

    #[test]
    fn a_context_is_made_once_and_follows_the_socket() {
        let dir = tempfile::tempdir().unwrap();
        let docker = Directory::at(dir.path());
        let (first, other) = (socket("unix:///run/a.sock"), socket("unix:///run/b.sock"));
        let install = |socket| docker.install_context("swarmlet", socket).unwrap();
        assert_eq!(install(&first), Installed::Made);
        assert_eq!(install(&first), Installed::Already);
        assert_eq!(install(&other), Installed::Changed);
        // As the docker program names the folder.
        let digest = "1d4019dc8605039291c4508d1c2cae655474fb87c0e98f115ed7166df5a11d9c";
        let meta = read(&docker.join(format!("contexts/meta/{digest}/meta.json")));
        let meta = meta.unwrap().unwrap();
        assert_eq!(meta["Endpoints"]["docker"]["Host"], "unix:///run/b.sock");
        assert!(docker.remove_context("swarmlet").unwrap());
        assert!(!docker.remove_context("swarmlet").unwrap());
    }

    #[test]
    fn what_else_is_in_the_configuration_stays() {
        let dir = tempfile::tempdir().unwrap();
        let docker = Directory::at(dir.path());
        fs::write(docker.join(CONFIG), r#"{"auths": {"r": {}}}"#).unwrap();
        docker
            .install_context("swarmlet", &socket("unix:///run/a.sock"))
            .unwrap();
        docker.use_context("swarmlet").unwrap();
        let config = || read(&docker.join(CONFIG)).unwrap().unwrap();
        assert_eq!(config(), json!({"auths": {"r": {}}, CURRENT: "swarmlet"}));
        docker.remove_context("swarmlet").unwrap();
        assert_eq!(config(), json!({"auths": {"r": {}}}));
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let docker = Directory::at(dir.path());
        let theirs = json!({"Name": "mine", "Metadata": {}, "Endpoints": {}});
        write(&docker.meta("mine"), &theirs).unwrap();
        let socket = socket("unix:///run/a.sock");
        assert!(docker.install_context("mine", &socket).is_err());
        assert!(docker.remove_context("mine").is_err());
        assert_eq!(read(&docker.meta("mine")).unwrap(), Some(theirs));
        for name in ["default", "", "a", "-a", "a/b"] {
            assert!(docker.install_context(name, &socket).is_err(), "{name}");
        }
    }
}
