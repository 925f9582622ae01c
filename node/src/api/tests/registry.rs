//! Credentials for registries: kept with the service, shown by nothing.

use axum::body::Body;
use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use serde_json::{Value, json};

use super::fake::Fake;
use super::{Answer, get, send};

fn spec(image: &str) -> Value {
    json!({"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": image}}})
}

async fn post(fake: &Fake, path: &str, body: &Value, password: Option<&str>) -> Answer {
    let mut request = Request::post(path).header("Content-Type", "application/json");
    if let Some(password) = password {
        let auth = json!({"username": "u", "password": password}).to_string();
        request = request.header("X-Registry-Auth", URL_SAFE.encode(auth));
    }
    let request = request.body(Body::from(body.to_string())).unwrap();
    send(fake, request).await
}

/// Updates the service to run `image`.
async fn update(fake: &Fake, image: &str, query: &str, password: Option<&str>) -> Answer {
    let version = get(fake, "/services/web").await.json()["Version"]["Index"].clone();
    let path = format!("/services/web/update?version={version}{query}");
    post(fake, &path, &spec(image), password).await
}

/// The password that the service's tasks show.
fn kept(fake: &Fake) -> String {
    fake.edit(|swarm| {
        let service = swarm.state.services().next().unwrap();
        let auth = service.spec.task.registry_auth.as_ref();
        auth.map(|auth| auth.password.clone()).unwrap_or_default()
    })
}

#[tokio::test]
async fn an_update_keeps_them_replaces_them_or_goes_back() {
    let fake = Fake::active();
    let created = post(&fake, "/services/create", &spec("a"), Some("first")).await;
    assert_eq!((created.status, kept(&fake).as_str()), (201, "first"));
    let early = update(&fake, "b", "&registryAuthFrom=previous-spec", None).await;
    assert_eq!(early.status, 500);
    assert_eq!(early.message(), "service does not have a previous spec");
    for (image, query, password, expected) in [
        ("b", "", None, "first"),
        ("c", "&registryAuthFrom=spec", None, "first"),
        ("d", "&registryAuthFrom=spec", Some("second"), "second"),
        ("e", "&registryAuthFrom=previous-spec", None, "first"),
        ("e", "&rollback=previous", None, "second"),
    ] {
        let updated = update(&fake, image, query, password).await;
        assert_eq!(updated.status, 200, "{}", updated.json());
        assert_eq!(updated.json(), json!({"Warnings": null}));
        assert_eq!(kept(&fake), expected, "{image}");
    }
    let unknown = update(&fake, "f", "&registryAuthFrom=nowhere", None).await;
    assert_eq!(unknown.message(), "unsupported registryAuthFrom value");
}

#[tokio::test]
async fn no_answer_shows_them() {
    let fake = Fake::active();
    post(&fake, "/services/create", &spec("a"), Some("hunter2")).await;
    update(&fake, "b", "", None).await;
    fake.edit(|swarm| swarm.run_all());
    for path in [
        "/services",
        "/services/web?insertDefaults=1",
        "/tasks",
        "/events?since=1&until=1795215999",
    ] {
        let shown = String::from_utf8(get(&fake, path).await.body).unwrap();
        assert!(
            shown.contains("web") || shown.contains("ServiceID"),
            "{shown}"
        );
        assert!(
            !shown.contains("hunter2") && !shown.contains("aHVudGVyMg"),
            "{path}"
        );
    }
    let state = fake.edit(|swarm| format!("{:?}", swarm.state));
    assert!(state.contains("RegistryAuth") && !state.contains("hunter2"));
}

#[tokio::test]
async fn other_credentials_replace_no_task() {
    let fake = Fake::active();
    post(&fake, "/services/create", &spec("a"), Some("first")).await;
    fake.edit(|swarm| swarm.run_all());
    update(&fake, "a", "", Some("second")).await;
    let filters = "%7B%22_up-to-date%22%3A%5B%22true%22%5D%7D";
    let tasks = get(&fake, &format!("/tasks?filters={filters}"))
        .await
        .json();
    assert_eq!(tasks.as_array().unwrap().len(), 1);
    let shown = get(&fake, "/services/web").await.json();
    assert_eq!(shown["UpdateStatus"], Value::Null);
}
