//! The swarm's networks: as Docker showed and refused them.

use axum::body::Body;
use serde_json::{Value, json};

use super::fake::Fake;
use super::{Answer, ask, get, post};

fn recorded(label: &str) -> (u16, Value) {
    type Case = (String, String, u16, Value);
    let cases: Vec<Case> = serde_json::from_str(include_str!("answers.json")).unwrap();
    let mut cases = cases.into_iter().filter(|case| case.0 == label);
    let (_, _, status, body) = cases.next().unwrap();
    (status, body)
}

/// `value` without what differs from run to run or is Docker's own: VXLAN's
/// numbers, sandboxes, and which address it was.
fn normal(value: &Value) -> Value {
    let is_id = |text: &str| {
        let base36 = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
        text.len() == 25 && text.bytes().all(base36)
    };
    match value {
        Value::String(text) => {
            let strip = |word: &str| word.trim_matches(['(', ')']).to_owned();
            let words = text.split(' ').map(|word| match is_id(&strip(word)) {
                true => "<id>",
                false => word,
            });
            Value::String(words.collect::<Vec<_>>().join(" "))
        }
        Value::Array(items) => Value::Array(items.iter().map(normal).collect()),
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(key, value)| {
                !matches!(key.as_str(), "Containers" | "Peers" | "Options")
                    && !(*key == "Labels" && (value.is_null() || **value == json!({})))
            });
            let fields = fields.map(|(key, value)| {
                let value = match key.as_str() {
                    "Created" | "CreatedAt" | "UpdatedAt" => json!("<time>"),
                    "Index" => json!("<index>"),
                    "Addresses" => json!("<addresses>"),
                    _ => normal(value),
                };
                (key.clone(), value)
            });
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

async fn create(fake: &Fake, request: &Value) -> Answer {
    post(fake, "/networks/create", request).await
}

/// Makes a service, and its tasks.
async fn serve(fake: &Fake, spec: &Value) {
    let made = post(fake, "/services/create", spec).await;
    assert_eq!(made.status, 201, "{}", made.json());
    fake.edit(|swarm| swarm.run_all());
}

fn web() -> Value {
    json!({
        "Name": "web", "Labels": {},
        "TaskTemplate": {
            "ContainerSpec": {"Image": "busybox:latest", "Command": ["sleep", "1000"]},
            "Networks": [{"Target": "ov1", "Aliases": ["w"]}],
        },
        "Mode": {"Replicated": {"Replicas": 2}},
        "EndpointSpec": {"Ports": [
            {"TargetPort": 80, "PublishedPort": 8080}, {"TargetPort": 81},
        ]},
    })
}

/// A swarm with the network `ov1`.
pub(super) async fn swarm_with_network() -> Fake {
    let fake = Fake::active();
    fake.edit(|swarm| swarm.plan());
    let request = json!({
        "Name": "ov1", "CheckDuplicate": true, "Driver": "overlay", "Attachable": true,
        "Labels": {"a": "b"}, "IPAM": {"Driver": "default", "Options": null, "Config": []},
    });
    let created = create(&fake, &request).await;
    assert_eq!(created.status, 201, "{}", created.json());
    assert_eq!(created.json()["Warning"], "");
    fake
}

async fn check(fake: &Fake, label: &str, request: &str) {
    let (method, path) = request.split_once(' ').unwrap();
    let answer = ask(fake, method, path, Body::empty()).await;
    let (status, body) = recorded(label);
    let shown = (answer.status, normal(&answer.json()));
    assert_eq!(shown, (status, normal(&body)), "{label}");
}

#[tokio::test]
async fn the_swarms_networks_are_shown_as_by_docker() {
    let fake = swarm_with_network().await;
    check(&fake, "net get", "GET /v1.41/networks/ov1").await;
    check(&fake, "net get ingress", "GET /networks/ingress").await;
    check(
        &fake,
        "net get scope local",
        "GET /networks/ov1?scope=local",
    )
    .await;
    let bad = "GET /networks?filters=%7B%22foo%22%3A%20%5B%22x%22%5D%7D";
    check(&fake, "net bad filter", bad).await;
    check(&fake, "net rm nf", "DELETE /networks/nope").await;

    let list = get(&fake, "/networks").await.json();
    let (_, expected) = recorded("net list");
    let by_name = |list: &Value| {
        let mut list = normal(list).as_array().unwrap().clone();
        list.sort_by_key(|network| network["Name"].to_string());
        list
    };
    assert_eq!(by_name(&list), by_name(&expected));
}

#[tokio::test]
async fn networks_are_refused_as_by_docker() {
    let fake = swarm_with_network().await;
    for (label, request) in [
        ("net dup", json!({"Name": "ov1", "Driver": "overlay"})),
        (
            "net ingress2",
            json!({"Name": "i2", "Driver": "overlay", "Ingress": true}),
        ),
    ] {
        let answer = create(&fake, &request).await;
        let (status, body) = recorded(label);
        let message = |body: &Value| normal(&body["message"]);
        assert_eq!(
            (answer.status, message(&answer.json())),
            (status, message(&body)),
            "{label}"
        );
    }
    let request = json!({"Name": "n", "Driver": "overlay"});
    let inactive = post(&Fake::new(), "/networks/create", &request).await;
    let (status, body) = recorded("inactive overlay create");
    assert_eq!((inactive.status, inactive.json()), (status, body));
}

#[tokio::test]
async fn a_network_in_use_is_not_removed() {
    let fake = swarm_with_network().await;
    serve(&fake, &web()).await;
    check(&fake, "net rm in use", "DELETE /networks/ov1").await;
    check(&fake, "net rm ingress in use", "DELETE /networks/ingress").await;
    let pruned = post(&fake, "/networks/prune", &json!({})).await;
    assert_eq!(pruned.json(), json!({"NetworksDeleted": null}));

    create(&fake, &json!({"Name": "spare", "Driver": "overlay"})).await;
    let removed = ask(&fake, "DELETE", "/networks/spare", Body::empty()).await;
    assert_eq!((removed.status, removed.body.len()), (204, 0));
    create(&fake, &json!({"Name": "spare", "Driver": "overlay"})).await;
    let pruned = post(&fake, "/networks/prune", &json!({})).await;
    assert_eq!(pruned.json(), json!({"NetworksDeleted": ["spare"]}));
}

#[tokio::test]
async fn a_network_is_removed_with_the_last_task_that_leaves_it() {
    let fake = swarm_with_network().await;
    serve(&fake, &web()).await;
    let gone = ask(&fake, "DELETE", "/services/web", Body::empty()).await;
    assert_eq!(gone.status, 200);
    let mut reads = fake.edit(|swarm| swarm.reads.subscribe());
    let before = *reads.borrow();
    let asked = fake.clone();
    let removal =
        tokio::spawn(async move { ask(&asked, "DELETE", "/networks/ov1", Body::empty()).await });
    // It looked for the network, at its tasks, and again.
    reads.wait_for(|count| *count >= before + 3).await.unwrap();
    assert!(!removal.is_finished(), "its tasks have not stopped");
    fake.edit(|swarm| swarm.stop_unwanted());
    let removed = removal.await.unwrap();
    assert_eq!((removed.status, removed.body.len()), (204, 0));
}

#[tokio::test]
async fn services_show_their_networks_and_ports_as_by_docker() {
    let fake = swarm_with_network().await;
    serve(&fake, &web()).await;
    let shown = get(&fake, "/services/web").await.json();
    let (_, expected) = recorded("svc get");
    let networks = |service: &Value| normal(&service["Spec"]["TaskTemplate"]["Networks"]);
    assert_eq!(networks(&shown), networks(&expected));
    assert_eq!(shown["Endpoint"]["Ports"], expected["Endpoint"]["Ports"]);
    assert_eq!(
        shown["Spec"]["EndpointSpec"],
        expected["Spec"]["EndpointSpec"]
    );
    // On the ingress network, Docker gives a service another one.
    let vips = shown["Endpoint"]["VirtualIPs"].as_array().unwrap();
    assert_eq!(vips.len(), 1);
    assert_eq!(
        vips[0]["Addr"],
        expected["Endpoint"]["VirtualIPs"][1]["Addr"]
    );
    let network = get(&fake, "/networks/ov1").await.json();
    assert_eq!(vips[0]["NetworkID"], network["Id"]);

    let tasks = get(&fake, "/tasks").await.json();
    let (_, expected) = recorded("tasks web");
    let attached = |tasks: &Value| {
        let attached = normal(&tasks[0]["NetworksAttachments"]);
        let mut attached = attached.as_array().unwrap().clone();
        attached.sort_by_key(|it| it["Network"]["Spec"]["Name"].to_string());
        attached
    };
    let (shown, expected) = (attached(&tasks), attached(&expected));
    // Docker's ingress network has empty options of addresses in its spec.
    assert_eq!(shown[1], expected[1]);
    assert_eq!(
        shown[0]["Network"]["IPAMOptions"],
        expected[0]["Network"]["IPAMOptions"]
    );
    let first = tasks[0]["NetworksAttachments"][0]["Addresses"][0].as_str();
    assert!(first.unwrap().ends_with("/24"), "{first:?}");
}

#[tokio::test]
async fn services_on_networks_are_refused_as_by_docker() {
    let fake = swarm_with_network().await;
    serve(&fake, &web()).await;
    for (label, target) in [("svc net nf", "nonet"), ("svc net ingress", "ingress")] {
        let mut other = web();
        other["Name"] = json!("other");
        other["TaskTemplate"]["Networks"][0]["Target"] = json!(target);
        let refused = post(&fake, "/services/create", &other).await;
        assert_eq!((refused.status, refused.json()), recorded(label), "{label}");
    }
    for (label, endpoint) in [
        (
            "svc dnsrr ingress",
            json!({"Mode": "dnsrr", "Ports": [{"TargetPort": 80, "PublishedPort": 80}]}),
        ),
        (
            "svc port conflict",
            json!({"Ports": [{"TargetPort": 80, "PublishedPort": 8080}]}),
        ),
    ] {
        let mut other = web();
        other["Name"] = json!("other");
        other["EndpointSpec"] = endpoint;
        let refused = post(&fake, "/services/create", &other).await;
        let (status, body) = recorded(label);
        assert_eq!(
            (refused.status, normal(&refused.json())),
            (status, normal(&body)),
            "{label}"
        );
    }
}

fn on_own(network: &str, edit: impl FnOnce(&mut Value)) -> Value {
    let mut spec = web();
    spec["TaskTemplate"]["Networks"] = json!([{"Target": network}]);
    spec["EndpointSpec"] = json!({"Ports": [
        {"TargetPort": 80, "PublishedPort": 8080, "PublishMode": "host"},
    ]});
    edit(&mut spec);
    spec
}

#[tokio::test]
async fn a_service_is_on_a_network_that_every_node_has() {
    let fake = swarm_with_network().await;
    serve(&fake, &on_own("host", |_| ())).await;
    // What the docker program asks before it creates the service.
    let network = get(&fake, "/v1.41/networks/host?scope=swarm").await.json();
    let host = json!({
        "Name": "host", "Driver": "host", "Scope": "swarm",
        "Labels": {"com.docker.swarm.predefined": "true"},
    });
    for (key, value) in host.as_object().unwrap() {
        assert_eq!(network[key], *value, "{key}");
    }
    let by_id = format!("/networks/{}", network["Id"].as_str().unwrap());
    assert_eq!(get(&fake, &by_id).await.json(), network);
    // The engine's own are listed, and not these.
    let listed = get(&fake, "/networks").await.json();
    let names = listed.as_array().unwrap().iter().map(|it| &it["Name"]);
    assert!(names.into_iter().all(|name| name != "host"), "{listed}");

    let shown = get(&fake, "/services/web").await.json();
    assert_eq!(
        shown["Spec"]["TaskTemplate"]["Networks"],
        json!([{"Target": network["Id"]}])
    );
    assert_eq!(
        shown["Endpoint"]["VirtualIPs"],
        json!([{"NetworkID": network["Id"]}])
    );
    let tasks = get(&fake, "/tasks").await.json();
    let attached = tasks[0]["NetworksAttachments"].as_array().unwrap();
    assert_eq!(attached.len(), 1);
    let attached = &attached[0];
    assert_eq!(attached["Addresses"], Value::Null);
    assert_eq!(attached["Network"]["ID"], network["Id"]);
    assert_eq!(attached["Network"]["DriverState"]["Name"], "host");
    let spec = &attached["Network"]["Spec"];
    assert_eq!(
        (&spec["Name"], &spec["Labels"]),
        (&json!("host"), &host["Labels"])
    );

    // A client sends back what it was shown.
    let update = format!("/services/web/update?version={}", shown["Version"]["Index"]);
    let updated = post(&fake, &update, &shown["Spec"]).await;
    assert_eq!(updated.status, 200, "{}", updated.json());
    let again = get(&fake, "/services/web").await.json();
    assert_eq!(again["Spec"], shown["Spec"]);
}

#[tokio::test]
async fn a_task_on_its_nodes_own_network_is_on_that_alone() {
    let fake = swarm_with_network().await;
    let networks = |other: &'static str| {
        move |spec: &mut Value| {
            let networks = spec["TaskTemplate"]["Networks"].as_array_mut().unwrap();
            networks.push(json!({"Target": other}));
        }
    };
    let ingress =
        |spec: &mut Value| spec["EndpointSpec"]["Ports"][0]["PublishMode"] = json!("ingress");
    for (spec, why) in [
        (on_own("host", networks("ov1")), "is on no other network"),
        (
            on_own("host", networks("bridge")),
            "\"host\" and \"bridge\" of its node at once",
        ),
        (
            on_own("bridge", ingress),
            "publish its ports with mode=host",
        ),
        (on_own("none", |_| ()), "cannot be reached"),
    ] {
        let refused = post(&fake, "/services/create", &spec).await;
        assert_eq!(refused.status, 400);
        assert!(refused.message().contains(why), "{}", refused.message());
    }
}

#[tokio::test]
async fn a_host_address_outlives_clients_that_do_not_know_it() {
    let fake = swarm_with_network().await;
    let mut spec = web();
    spec["EndpointSpec"]["Ports"][0]["HostIP"] = json!("127.0.0.1");
    serve(&fake, &spec).await;
    let shown = get(&fake, "/services/web").await.json();
    let label = "swarmlet.host-ip.8080/tcp";
    assert_eq!(shown["Endpoint"]["Ports"][0]["HostIP"], "127.0.0.1");
    assert_eq!(shown["Spec"]["Labels"][label], "127.0.0.1");
    // What `docker service update` sends back has the label alone.
    assert_eq!(
        shown["Spec"]["EndpointSpec"]["Ports"][0]["HostIP"],
        Value::Null
    );
    let update = format!("/services/web/update?version={}", shown["Version"]["Index"]);
    let updated = post(&fake, &update, &shown["Spec"]).await;
    assert_eq!(updated.status, 200, "{}", updated.json());
    let shown = get(&fake, "/services/web").await.json();
    assert_eq!(shown["Endpoint"]["Ports"][0]["HostIP"], "127.0.0.1");

    for (change, why) in [
        (
            json!({"Labels": {"swarmlet.host-ip.8081/tcp": "127.0.0.1"}}),
            "is for a port that is not published",
        ),
        (
            json!({"Labels": {"swarmlet.host-ip.8080/tcp": "localhost"}}),
            "invalid host IP",
        ),
        (
            json!({"EndpointSpec": {"Ports": [{"TargetPort": 80, "HostIP": "10.0.0.1"}]}}),
            "say on which port",
        ),
    ] {
        let mut spec = web();
        spec.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let refused = post(&fake, "/services/create", &spec).await;
        assert_eq!(refused.status, 400);
        assert!(refused.message().contains(why), "{}", refused.message());
    }
}

#[tokio::test]
async fn a_label_gives_a_service_its_address() {
    let fake = swarm_with_network().await;
    let mut spec = web();
    spec["Labels"] = json!({"swarmlet.vip.ov1": "10.0.1.77"});
    serve(&fake, &spec).await;
    let shown = get(&fake, "/services/web").await.json();
    assert_eq!(shown["Endpoint"]["VirtualIPs"][0]["Addr"], "10.0.1.77/24");
    for labels in [
        json!({"swarmlet.vip.other": "10.0.1.77"}),
        json!({"swarmlet.vip.ov1": "x"}),
    ] {
        spec["Labels"] = labels;
        let refused = post(&fake, "/services/create", &spec).await;
        assert_eq!(refused.status, 400, "{}", refused.json());
    }
}

#[tokio::test]
async fn a_label_gives_the_task_of_a_service_its_address() {
    let fake = swarm_with_network().await;
    let mut spec = web();
    spec["Labels"] = json!({"swarmlet.ip.ov1": "10.0.1.77"});
    spec["Mode"] = json!({"Replicated": {"Replicas": 1}});
    serve(&fake, &spec).await;
    let shown = get(&fake, "/services/web").await.json();
    assert_eq!(shown["Spec"]["Labels"]["swarmlet.ip.ov1"], "10.0.1.77");
    let said = fake.edit(|swarm| {
        let service = swarm.state.find_service("web").unwrap();
        service.spec.task.networks[0].addresses.clone()
    });
    assert_eq!(said, ["10.0.1.77".parse::<std::net::IpAddr>().unwrap()]);
    for (labels, why) in [
        (
            json!({"swarmlet.ip.other": "10.0.1.77"}),
            "a network that the service is not on",
        ),
        (json!({"swarmlet.ip.ov1": "x"}), "is no IP address"),
        (json!({"swarmlet.ip.ov1": "10.0.1.77"}), "already in use by"),
        (json!({"swarmlet.ip.ov1": "10.9.9.9"}), "in no subnet"),
    ] {
        spec["Name"] = json!("other");
        spec["EndpointSpec"] = json!({});
        spec["Labels"] = labels;
        let refused = post(&fake, "/services/create", &spec).await;
        assert_eq!(refused.status, 400, "{}", refused.json());
        assert!(refused.message().contains(why), "{}", refused.message());
    }
}

#[tokio::test]
async fn a_subnet_that_is_taken_is_refused_with_its_owner() {
    let fake = swarm_with_network().await;
    fake.edit(|swarm| {
        let net = "10.44.0.0/16".parse().unwrap();
        swarm.taken = vec![(net, "the route via eth7".into())];
    });
    for (subnet, owner) in [("10.44.3.0/24", "eth7"), ("10.0.1.0/25", "ov1")] {
        let config = json!({"Config": [{"Subnet": subnet}]});
        let request = json!({"Name": "n", "Driver": "overlay", "IPAM": config});
        let answer = create(&fake, &request).await;
        assert_eq!(answer.status, 400);
        assert!(answer.message().contains(owner), "{}", answer.message());
    }
    let config = json!({"Config": [{"Subnet": "10.0.0.0/33"}]});
    let request = json!({"Name": "n", "Driver": "overlay", "IPAM": config});
    assert_eq!(
        create(&fake, &request).await.message(),
        "rpc error: code = InvalidArgument desc = ipam configuration: invalid subnet 10.0.0.0/33"
    );
}

#[tokio::test]
async fn networks_are_filtered_in_both_encodings() {
    let fake = swarm_with_network().await;
    create(&fake, &json!({"Name": "ov2", "Driver": "swarmlet"})).await;
    serve(&fake, &web()).await;
    for (filters, expected) in [
        (json!({"name": ["ov"]}), &["ov1", "ov2"][..]),
        (json!({"name": {"ov1": true}}), &["ov1"]),
        (json!({"driver": ["overlay"]}), &["ingress", "ov1"]),
        (json!({"driver": {"swarmlet": true}}), &["ov2"]),
        (json!({"label": ["a=b"]}), &["ov1"]),
        (json!({"scope": ["local"]}), &[]),
        (json!({"type": ["builtin"]}), &[]),
        (json!({"dangling": ["true"]}), &["ov2"]),
        (json!({"dangling": {"false": true}}), &["ingress", "ov1"]),
    ] {
        let query = filters.to_string().replace('"', "%22");
        let query = query.replace('{', "%7B").replace('}', "%7D");
        let answer = get(&fake, &format!("/networks?filters={query}")).await;
        let list = answer.json();
        let names = list.as_array().unwrap().iter();
        let mut names: Vec<_> = names.map(|it| it["Name"].as_str().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, expected, "{filters}");
    }
}

#[tokio::test]
async fn a_verbose_network_shows_the_services_on_it() {
    let fake = swarm_with_network().await;
    serve(&fake, &web()).await;
    let shown = get(&fake, "/networks/ov1?verbose=true").await.json();
    let service = &shown["Services"]["web"];
    assert_eq!(service["VIP"], "10.0.1.2");
    assert_eq!(service["Ports"][0], "Target: 80, Publish: 8080");
    let task = &service["Tasks"][0];
    assert_eq!(task["Info"]["Host IP"], "10.77.0.1");
    assert!(task["EndpointIP"].as_str().unwrap().starts_with("10.0.1."));
    assert_eq!(
        get(&fake, "/networks/ov1").await.json()["Services"],
        Value::Null
    );
}
