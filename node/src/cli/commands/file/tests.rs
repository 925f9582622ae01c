use serde_json::{Value, json};

use crate::cli::commands::fake::Daemon;

const ID: &str = "gommbnq2z5ckke2k70s91izzu";

fn file(id: &str, name: &str, data: Option<&str>) -> Value {
    let mut spec = json!({"Name": name, "Labels": {"a": "b", "c": ""}});
    if let Some(data) = data {
        spec["Data"] = json!(data);
    }
    json!({
        "ID": id, "Version": {"Index": 13}, "Spec": spec,
        "CreatedAt": "2020-11-20T23:04:57.606987258Z",
        "UpdatedAt": "2020-11-20T23:04:57.606987258Z",
    })
}

#[tokio::test]
async fn a_secret_is_made_of_what_is_typed_or_of_a_file() {
    let answer = json!({"ID": ID});
    let daemon = Daemon::start(&[("POST /secrets/create", 201, answer)]);
    let line = ["secret", "create", "-l", "a=b", "s1", "-"];
    let ended = daemon.run_with(&line, "hunter2\n").await;
    ended.result.unwrap();
    assert_eq!(ended.out, format!("{ID}\n"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    std::fs::write(&path, [0, 159]).unwrap();
    let line = [
        "secret",
        "create",
        "-d",
        "vault",
        "s2",
        path.to_str().unwrap(),
    ];
    daemon.run(&line).await.result.unwrap();
    let line = ["secret", "create", "--template-driver", "golang", "s3"];
    daemon.run(&line).await.result.unwrap();
    assert_eq!(
        daemon.changes(),
        [
            r#"POST /secrets/create {"Name":"s1","Labels":{"a":"b"},"Data":"aHVudGVyMgo="}"#,
            r#"POST /secrets/create {"Name":"s2","Labels":{},"Data":"AJ8=","Driver":{"Name":"vault"}}"#,
            r#"POST /secrets/create {"Name":"s3","Labels":{},"Templating":{"Name":"golang"}}"#,
        ]
    );
    let ended = daemon.run(&["config", "create", "c", "/nonexistent"]).await;
    let error = ended.result.unwrap_err().to_string();
    assert!(error.starts_with("Cannot read /nonexistent: "), "{error}");
}

#[tokio::test]
async fn secrets_and_configs_are_listed_as_docker_lists_them() {
    let list = json!([file("2", "s10", None), file(ID, "s2", None)]);
    let daemon = Daemon::start(&[
        ("GET /secrets", 200, list),
        ("GET /configs", 200, json!([])),
    ]);
    let table = daemon
        .run(&["secret", "ls", "--filter", "label=a"])
        .await
        .out;
    let lines: Vec<Vec<&str>> = table
        .lines()
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|it| !it.is_empty())
                .collect()
        })
        .collect();
    assert_eq!(lines[0], ["ID", "NAME", "DRIVER", "CREATED", "UPDATED"]);
    assert_eq!(lines[1][..2], [ID, "s2"]);
    assert!(lines[1][2].ends_with(" years ago"), "{table}");
    assert_eq!(lines[2][1], "s10");
    let asked = daemon.asked.lock().unwrap()[0].clone();
    assert!(
        asked.starts_with("GET /secrets?filters=%7B%22label"),
        "{asked}"
    );
    let quiet = daemon.run(&["secret", "list", "-q"]).await.out;
    assert_eq!(quiet, format!("{ID}\n2\n"));
    let rows = daemon.run(&["secret", "ls", "--format", "json"]).await.out;
    let row: Value = serde_json::from_str(rows.lines().next().unwrap()).unwrap();
    assert_eq!(row["Labels"], "a=b,c=");
    assert_eq!(row["Driver"], "");
    let table = daemon.run(&["config", "ls"]).await.out;
    assert_eq!(
        table.split_whitespace().collect::<Vec<_>>(),
        ["ID", "NAME", "CREATED", "UPDATED"]
    );
}

#[tokio::test]
async fn a_page_shows_what_is_in_a_config() {
    let daemon = Daemon::start(&[
        ("GET /configs/c1", 200, file(ID, "c1", Some("aGVsbG8="))),
        ("GET /secrets/s1", 200, file(ID, "s1", None)),
    ]);
    let page = daemon
        .run(&["config", "inspect", "--pretty", "c1"])
        .await
        .out;
    insta::assert_snapshot!(page, @"
    ID:              gommbnq2z5ckke2k70s91izzu
    Name:            c1
    Labels:
     - a=b
     - c
    Created at:      2020-11-20 23:04:57.606987258 UTC
    Updated at:      2020-11-20 23:04:57.606987258 UTC
    Data:
    hello
    ");
    let shown = daemon.run(&["secret", "inspect", "s1"]).await.out;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown, json!([file(ID, "s1", None)]));
}

#[tokio::test]
async fn what_can_be_removed_is_removed() {
    let message = "rpc error: code = InvalidArgument desc = secret 's2' is in use";
    let daemon = Daemon::start(&[
        ("DELETE /secrets/s1", 204, json!("")),
        ("DELETE /secrets/s2", 400, json!({"message": message})),
        ("DELETE /secrets/s3", 204, json!("")),
    ]);
    let ended = daemon.run(&["secret", "rm", "s1", "s2", "s3"]).await;
    assert_eq!(ended.out, "s1\ns3\n");
    let error = ended.result.unwrap_err().to_string();
    assert_eq!(error, "Error response from daemon: secret 's2' is in use");
}

#[tokio::test]
async fn a_service_names_its_files_by_their_ids() {
    let daemon = Daemon::start(&[
        (
            "GET /secrets",
            200,
            json!([file(ID, "s1", None), file("2", "s10", None)]),
        ),
        ("POST /services/create", 201, json!({"ID": "x"})),
    ]);
    let line = "service create -d --secret source=s1,target=pw,mode=0400 busybox";
    let line: Vec<&str> = line.split(' ').collect();
    daemon.run(&line).await.result.unwrap();
    let asked = daemon.asked.lock().unwrap()[0].clone();
    assert!(
        asked.contains("filters=%7B%22name%22%3A%7B%22s1%22"),
        "{asked}"
    );
    let sent = daemon.changes().join("\n");
    let reference = format!(
        r#""Secrets":[{{"File":{{"Name":"pw","UID":"0","GID":"0","Mode":256}},"SecretID":"{ID}","SecretName":"s1"}}]"#
    );
    assert!(sent.contains(&reference), "{sent}");
    let ended = daemon
        .run(&["service", "create", "-d", "--secret", "s2", "busybox"])
        .await;
    assert_eq!(
        ended.result.unwrap_err().to_string(),
        "secret not found: s2"
    );
}
