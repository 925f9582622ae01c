//! One transfer of an image: `POST /images/create`.
//!
//! Over a connection of our own: bollard writes credentials in an alphabet that
//! engines do not read (a `?` in a password may become a `/`), and they would
//! then ask the registry without any.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::header::HeaderValue;
use serde::Deserialize;
use tokio::time::timeout;

use super::pull::Wanted;
use super::wire;
use crate::runtime::{Result, RuntimeError};

/// A transfer that makes no progress for so long is given up. There is no limit
/// on the whole: a large image over a thin link may take hours.
const STALLED: Duration = Duration::from_secs(300);
/// Of one line in which the engine tells its progress, in bytes.
const MAX_LINE: usize = 1 << 20;

pub(super) async fn transfer(wanted: Wanted, socket: PathBuf) -> Result<()> {
    let mut body = wire::ask(&socket, request(&wanted)?, STALLED).await?;
    let mut progress = Progress::default();
    loop {
        match timeout(STALLED, body.frame()).await {
            Ok(None) => return progress.end(),
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    progress.feed(&data)?;
                }
            }
            Ok(Some(Err(error))) => return Err(RuntimeError::Unavailable(error.to_string())),
            Err(_) => {
                return Err(RuntimeError::Refused(format!(
                    "the transfer made no progress for {STALLED:?}"
                )));
            }
        }
    }
}

fn request(wanted: &Wanted) -> Result<Request<Empty<Bytes>>> {
    let refused = |error: String| RuntimeError::Refused(error);
    let image = escaped(&wanted.image);
    let mut path = format!("/images/create?fromImage={image}");
    if let Some(tag) = default_tag(&wanted.image) {
        path = format!("{path}&tag={tag}");
    }
    if let Some(platform) = &wanted.platform {
        path = format!("{path}&platform={platform}");
    }
    let mut request = Request::post(path)
        .body(Empty::new())
        .map_err(|error| refused(error.to_string()))?;
    if let Some(auth) = &wanted.auth {
        let json = serde_json::to_vec(auth).map_err(|error| refused(error.to_string()))?;
        let mut value = HeaderValue::try_from(URL_SAFE.encode(json))
            .map_err(|error| refused(error.to_string()))?;
        value.set_sensitive(true);
        request.headers_mut().insert("x-registry-auth", value);
    }
    Ok(request)
}

/// Of what image references have, `+` alone means something else in a query.
fn escaped(image: &str) -> String {
    image.replace('+', "%2B")
}

/// The engine's lines of JSON; one of them may be an error.
#[derive(Default)]
struct Progress(BytesMut);

impl Progress {
    fn feed(&mut self, data: &[u8]) -> Result<()> {
        self.0.extend_from_slice(data);
        while let Some(end) = self.0.iter().position(|byte| *byte == b'\n') {
            told(&self.0.split_to(end + 1))?;
        }
        if self.0.len() > MAX_LINE {
            let text = "the engine's progress cannot be read: a line without end";
            return Err(RuntimeError::Refused(text.into()));
        }
        Ok(())
    }

    fn end(self) -> Result<()> {
        told(&self.0)
    }
}

/// # Errors
/// Where the line says that the transfer failed.
fn told(line: &[u8]) -> Result<()> {
    #[derive(Deserialize)]
    struct Line {
        error: Option<String>,
        #[serde(rename = "errorDetail")]
        detail: Option<Detail>,
    }
    #[derive(Deserialize)]
    struct Detail {
        message: Option<String>,
    }
    let Ok(line) = serde_json::from_slice::<Line>(line) else {
        return Ok(());
    };
    let detailed = line.detail.and_then(|detail| detail.message);
    match detailed.or(line.error) {
        Some(error) => Err(RuntimeError::Refused(error)),
        None => Ok(()),
    }
}

/// Without a tag or digest the engine would fetch every tag there is.
fn default_tag(image: &str) -> Option<&'static str> {
    let name = image.rsplit_once('/').map_or(image, |(_, name)| name);
    (!name.contains([':', '@'])).then_some("latest")
}

#[cfg(test)]
mod tests {
    use services::registry::RegistryAuth;

    use super::*;

    #[test]
    fn only_a_bare_name_gets_the_default_tag() {
        for bare in ["busybox", "library/busybox", "host:5000/a/b"] {
            assert_eq!(default_tag(bare), Some("latest"), "{bare}");
        }
        for exact in [
            "busybox:1.36",
            "host:5000/a:1",
            "a/b@sha256:0",
            "b:1@sha256:0",
        ] {
            assert_eq!(default_tag(exact), None, "{exact}");
        }
    }

    #[test]
    fn credentials_travel_in_the_header_alone() {
        let wanted = Wanted {
            image: "r:5000/a".into(),
            platform: Some("linux/arm/v7".parse().unwrap()),
            auth: Some(RegistryAuth {
                username: "u".into(),
                password: "???>>>~~~".into(),
                ..RegistryAuth::default()
            }),
        };
        let request = request(&wanted).unwrap();
        assert_eq!(
            request.uri(),
            "/images/create?fromImage=r:5000/a&tag=latest&platform=linux/arm/v7"
        );
        let header = &request.headers()["x-registry-auth"];
        let json = URL_SAFE.decode(header.as_bytes()).unwrap();
        let sent: RegistryAuth = serde_json::from_slice(&json).unwrap();
        assert_eq!(Some(sent), wanted.auth);
        assert!(!format!("{request:?} {wanted:?}").contains("???"));
        let encoded = header.to_str().unwrap();
        assert!(!format!("{request:?}").contains(encoded));
    }

    #[test]
    fn an_error_is_told_in_the_middle_of_the_progress() {
        let mut progress = Progress::default();
        progress
            .feed(b"{\"status\":\"Pulling\"}\r\n{\"sta")
            .unwrap();
        progress.feed(b"tus\":\"x\"}\n").unwrap();
        let error = progress.feed(b"{\"errorDetail\":{\"message\":\"no\"},\"error\":\"no\"}\n");
        assert_eq!(error, Err(RuntimeError::Refused("no".into())));
        assert_eq!(Progress::default().end(), Ok(()));
        let mut endless = Progress::default();
        assert!(endless.feed(&vec![b' '; MAX_LINE + 1]).is_err());
    }
}
