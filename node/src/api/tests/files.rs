//! Secrets and configs, as far as the recording does not show.

use serde_json::{Value, json};

use super::fake::Fake;
use super::{ask, get, post};

async fn create(fake: &Fake, kind: &str, name: &str, labels: Value) -> String {
    let body = json!({"Name": name, "Labels": labels, "Data": "aHVudGVyMg=="});
    let answer = post(fake, &format!("/{kind}s/create"), &body).await;
    assert_eq!(answer.status, 201, "{}", answer.message());
    answer.json()["ID"].as_str().unwrap().to_owned()
}

async fn names(fake: &Fake, kind: &str, filters: &Value) -> Vec<String> {
    let encode = |byte: u8| format!("%{byte:02X}");
    let text: String = filters.to_string().bytes().map(encode).collect();
    let answer = get(fake, &format!("/{kind}s?filters={text}")).await;
    assert_eq!(answer.status, 200, "{}", answer.message());
    let list = answer.json();
    let name = |file: &Value| file["Spec"]["Name"].as_str().unwrap().to_owned();
    let mut names: Vec<_> = list.as_array().unwrap().iter().map(name).collect();
    names.sort();
    names
}

#[tokio::test]
async fn lists_are_filtered_in_both_encodings() {
    let fake = Fake::active();
    let id = create(&fake, "secret", "s1", json!({"a": "1"})).await;
    create(&fake, "secret", "s10", json!({"a": "2", "b": ""})).await;
    create(&fake, "config", "c1", json!({})).await;
    for (filters, expected) in [
        (json!({}), vec!["s1", "s10"]),
        (json!({"name": {"s1": true}}), vec!["s1", "s10"]),
        (json!({"names": ["s1"]}), vec!["s1"]),
        (json!({"id": [&id[..6]]}), vec!["s1"]),
        (json!({"label": ["a=2", "b"]}), vec!["s10"]),
        (json!({"label": {"a": true}}), vec!["s1", "s10"]),
    ] {
        assert_eq!(
            names(&fake, "secret", &filters).await,
            expected,
            "{filters}"
        );
    }
    assert_eq!(
        names(&fake, "config", &json!({"name": ["c"]})).await,
        ["c1"]
    );
    let refused = get(&fake, "/configs?filters=%7B%22names%22:[%22c%22]%7D").await;
    assert_eq!(
        (refused.status, refused.message().as_str()),
        (400, "Invalid filter 'names'")
    );
}

#[tokio::test]
async fn one_is_found_by_its_id_its_name_and_the_beginning_of_its_id() {
    let fake = Fake::active();
    let id = create(&fake, "config", "c1", json!({})).await;
    for text in [id.as_str(), "c1", &id[..8]] {
        let shown = get(&fake, &format!("/configs/{text}")).await.json();
        assert_eq!(shown["ID"], id.as_str(), "{text}");
    }
    for path in [format!("/secrets/{id}"), "/secrets/c1".into()] {
        assert_eq!(get(&fake, &path).await.status, 404, "{path}");
    }
    let gone = ask(&fake, "DELETE", &format!("/v1.41/configs/{}", &id[..8]), "").await;
    assert_eq!((gone.status, gone.body.len()), (204, 0));
    assert_eq!(
        get(&fake, "/configs/c1").await.message(),
        "config c1 not found"
    );
}

#[tokio::test]
async fn what_is_in_a_secret_is_never_told() {
    let fake = Fake::active();
    let id = create(&fake, "secret", "s1", json!({})).await;
    create(&fake, "config", "c1", json!({})).await;
    let path = format!("/secrets/{id}/update?version=1");
    let wrong = json!({"Name": "s1", "Data": "aHVudGVyMw=="});
    for answer in [
        get(&fake, "/secrets").await,
        get(&fake, "/secrets/s1").await,
        post(&fake, &path, &wrong).await,
        post(
            &fake,
            "/secrets/create",
            &json!({"Name": "x", "Data": "aHVudGVyMg="}),
        )
        .await,
        post(
            &fake,
            "/secrets/create",
            &json!({"Name": "x", "Data": ["aHVudGVyMg"]}),
        )
        .await,
    ] {
        let text = String::from_utf8(answer.body.clone()).unwrap();
        assert!(!text.contains("hunter") && !text.contains("aHVu"), "{text}");
    }
    let config = get(&fake, "/configs/c1").await.json();
    assert_eq!(config["Spec"]["Data"], "aHVudGVyMg==");
}

#[tokio::test]
async fn a_secret_is_compared_without_being_told() {
    let fake = Fake::active();
    create(&fake, "secret", "s1", json!({"a": "b"})).await;
    let compared = async |spec: Value| post(&fake, "/secrets/s1/compare", &spec).await.json();
    let same = json!({"Name": "other", "Data": "aHVudGVyMg=="});
    assert_eq!(compared(same).await, json!({"Same": true}));
    let template = json!({"Data": "aHVudGVyMg==", "Templating": {"Name": "golang"}});
    for changed in [json!({"Data": "aHVudGVyMw=="}), json!({}), template] {
        assert_eq!(compared(changed).await, json!({"Same": false}));
    }
    let missing = post(&fake, "/secrets/s2/compare", &json!({})).await;
    let text = "secret s2 not found";
    assert_eq!((missing.status, missing.message().as_str()), (404, text));
}

#[tokio::test]
async fn an_update_sends_back_what_was_shown() {
    let fake = Fake::active();
    create(&fake, "config", "c1", json!({})).await;
    let shown = get(&fake, "/configs/c1").await.json();
    let mut spec = shown["Spec"].clone();
    spec["Labels"] = json!({"a": "b"});
    let index = &shown["Version"]["Index"];
    let path = format!("/configs/c1/update?version={index}");
    assert_eq!(post(&fake, &path, &spec).await.status, 200);
    let after = get(&fake, "/configs/c1").await.json();
    assert_eq!(after["Spec"], spec);
    spec["Name"] = json!("c2");
    let refused = post(&fake, &path, &spec).await;
    let text = "rpc error: code = InvalidArgument desc = only updates to Labels are allowed";
    assert_eq!((refused.status, refused.message().as_str()), (400, text));
    let refused = post(&fake, "/configs/c1/update?version=x", &spec).await;
    assert_eq!(refused.message(), "invalid config version");
}

#[tokio::test]
async fn references_that_mean_nothing_are_refused() {
    let fake = Fake::active();
    let id = create(&fake, "secret", "s1", json!({})).await;
    let refused = async |reference: Value, expected: &str| {
        let body = json!({"Name": "web", "TaskTemplate": {"ContainerSpec": {
            "Image": "busybox", "Secrets": [reference],
        }}});
        let answer = post(&fake, "/services/create", &body).await;
        let expected = format!("rpc error: code = InvalidArgument desc = {expected}");
        assert_eq!((answer.status, answer.message()), (400, expected));
    };
    refused(json!({"SecretName": "s1"}), "malformed secret reference").await;
    let bare = json!({"SecretID": id, "SecretName": "s1"});
    refused(bare, "malformed secret reference, no target provided").await;
    let with = |file: Value| json!({"SecretID": id, "SecretName": "s1", "File": file});
    let text = "malformed file secret reference, invalid target file name provided";
    refused(with(json!({"Name": ""})), text).await;
    for (field, id) in [("UID", "root"), ("GID", "4294967295")] {
        let text = format!(
            "invalid {field} {id:?} of secret reference 's1': it must be a number below 4294967295"
        );
        refused(with(json!({"Name": "s1", field: id})), &text).await;
    }
    let other = json!({"SecretID": id, "SecretName": "s2", "File": {"Name": "s2"}});
    refused(other, "secret not found: s2").await;
}

#[tokio::test]
async fn clients_that_know_no_templates_cannot_ask_for_one() {
    let fake = Fake::active();
    let body = json!({"Name": "c", "Data": "eA==", "Templating": {"Name": "golang"}});
    let refused = post(&fake, "/v1.36/configs/create", &body).await;
    let text = "config templating is not supported on the specified API version: 1.36";
    assert_eq!((refused.status, refused.message().as_str()), (400, text));
}

#[tokio::test]
async fn templates_are_tried_before_anything_is_made() {
    let fake = Fake::active();
    // {{foo}}
    let body = json!({"Name": "c", "Data": "e3tmb299fQ==", "Templating": {"Name": "golang"}});
    let refused = post(&fake, "/configs/create", &body).await;
    assert_eq!(refused.status, 400);
    let reason = "function \"foo\" not defined";
    assert!(refused.message().contains(reason), "{}", refused.message());
    assert!(names(&fake, "config", &json!({})).await.is_empty());
    let loops = "{{range $.Service.Labels}}".repeat(20) + &"{{end}}".repeat(20);
    let body = json!({
        "Name": "web",
        "Labels": {"a": "1", "b": "2"},
        "TaskTemplate": {"ContainerSpec": {"Image": "a:1", "Env": [format!("A={loops}")]}},
    });
    let refused = post(&fake, "/services/create", &body).await;
    assert_eq!(refused.status, 400);
    let reason = "the templates take too many steps";
    assert!(refused.message().contains(reason), "{}", refused.message());
}
