//! Credentials for registries: `docker login` leaves them in `config.json`, or
//! with a helper, a program that keeps them
//! (github.com/docker/docker-credential-helpers).

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use hyper::header::HeaderValue;
use serde::Deserialize;
use services::registry::RegistryAuth;

use super::{Directory, unusable};
use crate::cli::error::CliError;
use crate::cli::values::Invalid;

/// What the docker program calls its own registry in its configuration.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";
const CONFIG: &str = "config.json";
/// With this user name, a helper's secret is an identity token.
const TOKEN: &str = "<token>";
/// In bytes, of what a helper answers.
const MAX_ANSWER: u64 = 64 << 10;

/// Where credentials are.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Credentials {
    auths: BTreeMap<String, RegistryAuth>,
    creds_store: String,
    /// By registry, instead of the store for all.
    cred_helpers: BTreeMap<String, String>,
}

impl Credentials {
    /// # Errors
    /// The configuration is there and cannot be read.
    pub fn of(directory: &Directory) -> Result<Self, CliError> {
        let path = directory.join(CONFIG);
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            read => read.map_err(unusable(&path))?,
        };
        // The reason may show a part of it.
        serde_json::from_slice(&text).map_err(|error| {
            let (path, line) = (path.display(), error.line());
            Invalid::new(format!(
                "{path} is no configuration of docker (line {line})"
            ))
            .into()
        })
    }

    /// For the registry that `image` comes from; `None` where nobody logged in.
    ///
    /// # Errors
    /// A helper does not do what it should.
    pub fn for_image(&self, image: &str) -> Result<Option<RegistryAuth>, CliError> {
        let server = server_of(image);
        let helper = self.cred_helpers.get(server).unwrap_or(&self.creds_store);
        if helper.is_empty() {
            return Ok(self.filed(server));
        }
        let named = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !helper.bytes().all(named) {
            let text = format!("{helper:?} is no name of a credential helper");
            return Err(Invalid::new(text).into());
        }
        let program = format!("docker-credential-{helper}");
        ask(Path::new(&program), server)
    }

    /// Under its own name, or as older versions wrote it.
    fn filed(&self, server: &str) -> Option<RegistryAuth> {
        let mut auths = self.auths.iter();
        let found = self.auths.get(server);
        let found = found.or_else(|| Some(auths.find(|(key, _)| host_of(key) == server)?.1))?;
        let mut auth = found.clone();
        if let Some((username, password)) = decoded(&auth.auth) {
            auth = RegistryAuth {
                username,
                password,
                auth: String::new(),
                ..auth
            };
        }
        if auth == RegistryAuth::default() {
            return None;
        }
        server.clone_into(&mut auth.server);
        Some(auth)
    }
}

/// `username:password` in base64.
fn decoded(auth: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(auth).ok()?).ok()?;
    let (username, password) = text.split_once(':')?;
    Some((
        username.to_owned(),
        password.trim_end_matches('\0').to_owned(),
    ))
}

/// As the configuration names it.
fn server_of(image: &str) -> &str {
    let named = |head: &str| head == "localhost" || head.contains(['.', ':']);
    match image.split_once('/') {
        Some(("docker.io" | "index.docker.io", _)) => DOCKER_HUB,
        Some((head, _)) if named(head) => head,
        _ => DOCKER_HUB,
    }
}

/// `https://host/v1/` as `host`.
fn host_of(key: &str) -> &str {
    let stripped = key.strip_prefix("https://");
    let stripped = stripped.or_else(|| key.strip_prefix("http://"));
    let rest = stripped.unwrap_or(key);
    rest.split('/').next().unwrap_or(rest)
}

/// What a helper answers.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Kept {
    username: String,
    secret: String,
}

/// The helper's protocol: the server on its input, JSON on its output.
fn ask(program: &Path, server: &str) -> Result<Option<RegistryAuth>, CliError> {
    let name = program.display().to_string();
    let failed = |why: &str| CliError::from(Invalid::new(format!("{name} {why}")));
    let mut helper = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(&format!("cannot be asked for credentials: {error}")))?;
    if let Some(mut input) = helper.stdin.take() {
        // One that answers without listening is heard all the same.
        let _ = input.write_all(server.as_bytes());
    }
    let mut answer = Vec::new();
    if let Some(output) = helper.stdout.take() {
        let read = output.take(MAX_ANSWER).read_to_end(&mut answer);
        read.map_err(|error| failed(&format!("breaks off: {error}")))?;
    }
    let status = helper.wait().map_err(|error| failed(&error.to_string()))?;
    if !status.success() {
        let said = String::from_utf8_lossy(&answer);
        return match said.trim() {
            "credentials not found in native keychain" => Ok(None),
            said => Err(failed(&format!("has no credentials for {server}: {said}"))),
        };
    }
    let kept: Kept = serde_json::from_slice(&answer)
        .map_err(|_| failed("does not answer as a credential helper does"))?;
    let mut auth = RegistryAuth {
        server: server.to_owned(),
        ..RegistryAuth::default()
    };
    match kept.username.as_str() {
        TOKEN => auth.identity_token = kept.secret,
        _ => (auth.username, auth.password) = (kept.username, kept.secret),
    }
    Ok(Some(auth))
}

/// As `X-Registry-Auth` says it; not shown where headers are.
pub fn header(auth: &RegistryAuth) -> Result<HeaderValue, CliError> {
    let refused = |_| CliError::from(Invalid::new("the credentials cannot be sent"));
    let json = serde_json::to_vec(auth).map_err(|error| refused(error.to_string()))?;
    let value = HeaderValue::try_from(URL_SAFE.encode(json));
    let mut value = value.map_err(|error| refused(error.to_string()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn known(username: &str, password: &str, server: &str) -> Option<RegistryAuth> {
        Some(RegistryAuth {
            username: username.into(),
            password: password.into(),
            server: server.into(),
            ..RegistryAuth::default()
        })
    }

    fn configured(text: &str) -> Result<Credentials, CliError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(CONFIG), text).unwrap();
        Credentials::of(&Directory::at(dir.path()))
    }

    #[test]
    fn what_a_login_left_is_found_by_the_images_registry() {
        // dTpwOnE= is u:p:q
        let credentials = configured(
            r#"{"auths": {
                "https://index.docker.io/v1/": {"auth": "dTpwOnE="},
                "r:5000": {"auth": "dTpwOnE=", "email": "e"},
                "https://old.example/v1/": {"auth": "dTpwOnE="},
                "t.example": {"identitytoken": "t"},
                "empty.example": {}
            }, "currentContext": "x"}"#,
        )
        .unwrap();
        let found = |image| credentials.for_image(image).unwrap();
        for image in ["busybox", "library/busybox:1", "docker.io/a/b"] {
            assert_eq!(found(image), known("u", "p:q", DOCKER_HUB), "{image}");
        }
        let registry = found("r:5000/a@sha256:0").unwrap();
        assert_eq!(
            (registry.password.as_str(), registry.email.as_str()),
            ("p:q", "e")
        );
        assert_eq!(found("old.example/a"), known("u", "p:q", "old.example"));
        assert_eq!(found("t.example/a").unwrap().identity_token, "t");
        assert_eq!(found("empty.example/a"), None);
        assert_eq!(found("other.example/a"), None);
    }

    #[test]
    fn nobody_logged_in_where_there_is_no_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let credentials = Credentials::of(&Directory::at(dir.path())).unwrap();
        assert_eq!(credentials.for_image("a").unwrap(), None);
        let refused = configured("{\"auths\": {\"a\": {\"auth\": hunter2").unwrap_err();
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
    }

    #[test]
    fn a_helper_is_asked_as_docker_asks_it() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("docker-credential-test");
        let script = "#!/bin/sh\nread -r server || true\ncase $1-$server in\n\
            get-r.example) echo '{\"ServerURL\":\"r.example\",\"Username\":\"u\",\"Secret\":\"s\"}' ;;\n\
            get-t.example) echo '{\"Username\":\"<token>\",\"Secret\":\"s\"}' ;;\n\
            get-no.example) echo 'credentials not found in native keychain'; exit 1 ;;\n\
            get-odd.example) echo 'what?' ;;\n\
            *) echo 'locked'; exit 1 ;;\nesac\n";
        std::fs::write(&program, script).unwrap();
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&program, executable).unwrap();
        let asked = |server| ask(&program, server);
        assert_eq!(asked("r.example").unwrap(), known("u", "s", "r.example"));
        assert_eq!(asked("t.example").unwrap().unwrap().identity_token, "s");
        assert_eq!(asked("no.example").unwrap(), None);
        let error = asked("other.example").unwrap_err().to_string();
        assert!(
            error.ends_with("has no credentials for other.example: locked"),
            "{error}"
        );
        assert!(asked("odd.example").is_err());
        let error = ask(Path::new("/nonexistent/helper"), "a").unwrap_err();
        assert!(error.to_string().contains("cannot be asked"), "{error}");
    }

    #[test]
    fn a_helper_is_a_programs_name() {
        let credentials = configured(r#"{"credsStore": "../../bin/sh"}"#).unwrap();
        assert!(credentials.for_image("a").is_err());
    }
}
