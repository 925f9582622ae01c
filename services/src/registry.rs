//! What a registry wants to see before it gives an image away.
//!
//! It is part of what a task is, so it comes to the nodes that have such a task
//! with their assignments, and is kept where those are: in sealed files and in
//! memory. The API never shows it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// As the docker program says it in `X-Registry-Auth`; what is empty was not
/// said.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RegistryAuth {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub password: String,
    /// `username:password` in base64, of older clients.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub auth: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub email: String,
    #[serde(rename = "serveraddress", skip_serializing_if = "String::is_empty")]
    pub server: String,
    /// In place of a password: gets tokens for the registry from its authority.
    #[serde(rename = "identitytoken", skip_serializing_if = "String::is_empty")]
    pub identity_token: String,
    /// Shown to the registry as it is.
    #[serde(rename = "registrytoken", skip_serializing_if = "String::is_empty")]
    pub registry_token: String,
}

impl fmt::Debug for RegistryAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryAuth").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_as_clients_write_them_and_not_printed() {
        let text = r#"{"username":"u","password":"hunter2","serveraddress":"r:5000"}"#;
        let auth: RegistryAuth = serde_json::from_str(text).unwrap();
        assert_eq!(auth.server, "r:5000");
        assert_eq!(serde_json::to_string(&auth).unwrap(), text);
        assert!(!format!("{auth:?}").contains("hunter2"));
    }
}
