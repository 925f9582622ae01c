//! What clients send of a registry's credentials: `X-Registry-Auth` of a
//! service's create and update, and where an update that sends none takes them
//! from.

use axum::http::HeaderMap;
use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};
use services::Id;
use services::registry::RegistryAuth;

use crate::api::backend::View;
use crate::api::error::ApiError;
use crate::api::query::Query;

const HEADER: &str = "X-Registry-Auth";
/// In bytes, as sent. The tokens of cloud registries have a few thousand.
const MAX_HEADER: usize = 32 << 10;

/// Some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// # Errors
/// 400 for what are no credentials; the text shows nothing of it.
pub(super) fn sent(headers: &HeaderMap) -> Result<Option<RegistryAuth>, ApiError> {
    let Some(value) = headers.get(HEADER) else {
        return Ok(None);
    };
    if value.len() > MAX_HEADER {
        return Err(invalid(&format!("more than {MAX_HEADER} bytes")));
    }
    // And some write the alphabet of other encodings.
    let text: Vec<u8> = value
        .as_bytes()
        .iter()
        .map(|byte| match byte {
            b'+' => b'-',
            b'/' => b'_',
            byte => *byte,
        })
        .collect();
    let json = BASE64.decode(text).map_err(|_| invalid("must be base64"))?;
    if json.is_empty() {
        return Ok(None);
    }
    let auth = read(&json).ok_or_else(|| invalid("must be the JSON of an AuthConfig in base64"))?;
    Ok((auth != RegistryAuth::default()).then_some(auth))
}

/// As Go reads it: whatever the case of the keys, and null is not said.
fn read(json: &[u8]) -> Option<RegistryAuth> {
    let fields: Option<Map<String, Value>> = serde_json::from_slice(json).ok()?;
    let said = fields.unwrap_or_default().into_iter();
    let said = said.filter(|(_, value)| !value.is_null());
    let fields: Map<String, Value> = said
        .map(|(key, value)| (key.to_ascii_lowercase(), value))
        .collect();
    serde_json::from_value(Value::Object(fields)).ok()
}

fn invalid(why: &str) -> ApiError {
    ApiError::bad_request(format!("invalid X-Registry-Auth header: {why}"))
}

/// What an update that sends no credentials goes on with.
///
/// # Errors
/// In Docker's words, for a `registryAuthFrom` that there is not.
pub(super) fn kept(
    view: View<'_>,
    service: Id,
    query: &Query,
) -> Result<Option<RegistryAuth>, ApiError> {
    let service = view.state.service(service);
    let spec = match query.text("registryAuthFrom") {
        "" | "spec" => service.map(|service| &service.spec),
        "previous-spec" => {
            let previous = service.and_then(|service| service.previous_spec.as_ref());
            let missing = || ApiError::internal("service does not have a previous spec");
            Some(previous.ok_or_else(missing)?)
        }
        _ => return Err(ApiError::internal("unsupported registryAuthFrom value")),
    };
    Ok(spec.and_then(|spec| spec.task.registry_auth.clone()))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn read_header(text: &str) -> Result<Option<RegistryAuth>, ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_str(text).unwrap());
        sent(&headers)
    }

    #[test]
    fn credentials_are_read_in_every_clients_encoding() {
        let json = br#"{"username":"u","Password":"a?b>c~~?","email":null}"#;
        let expected = RegistryAuth {
            username: "u".into(),
            password: "a?b>c~~?".into(),
            ..RegistryAuth::default()
        };
        use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
        for text in [
            URL_SAFE.encode(json),
            URL_SAFE_NO_PAD.encode(json),
            STANDARD.encode(json),
        ] {
            assert_eq!(read_header(&text), Ok(Some(expected.clone())), "{text}");
        }
    }

    #[test]
    fn nothing_said_is_no_credentials() {
        for text in ["", "e30", "e30=", "bnVsbA=="] {
            assert_eq!(read_header(text), Ok(None), "{text}");
        }
        assert_eq!(sent(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn what_are_no_credentials_is_refused_and_not_repeated() {
        for text in ["hunter2!", "eA==", "WzFd", &"A".repeat(MAX_HEADER + 1)] {
            let refused = read_header(text).unwrap_err();
            assert_eq!(refused.status, 400);
            assert!(!refused.message.contains("hunter2"), "{refused}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_credentials_or_refused(json: Vec<u8>) {
            let _ = read(&json);
        }
    }
}
