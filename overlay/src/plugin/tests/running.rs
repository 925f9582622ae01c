//! The driver at work in a network namespace of the test's own: it is asked over
//! its socket, as the engine asks, and what it makes must carry packets.

use std::io;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixStream;

use super::super::{Config, Plugin};
use super::*;
use crate::kit::hear;
use crate::names::{Names, RUN_DIR};
use crate::netns;

/// Runs `test` on a thread in a network namespace of its own.
fn in_new_network<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    netns::in_new_network(|| {
        ip_command("link set lo up");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(test());
    });
}

fn ip_command(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output = output.expect("this test needs iproute2");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn forward() {
    for family in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        std::fs::write(format!("/proc/sys/net/{family}"), "1").unwrap();
    }
}

/// The folders of one daemon.
struct Place {
    dir: tempfile::TempDir,
    manager: Arc<FakeManager>,
}

impl Place {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            manager: Arc::default(),
        }
    }

    fn config(&self) -> Config {
        Config {
            names: Names::of(Path::new(RUN_DIR)),
            plugin_dir: self.dir.path().join("docker/plugins"),
            state_dir: self.dir.path().join("state"),
            mtu: 1400,
            attach: Some(self.manager.clone()),
        }
    }

    fn socket(&self) -> PathBuf {
        self.config().plugin_dir.join("swarmlet.sock")
    }

    async fn open(&self) -> Plugin {
        let plugin = Plugin::open(self.config()).await.unwrap();
        plugin.expect(expected(&[
            "10.0.5.8",
            "fd00:5::3",
            "10.0.5.9",
            "fd00:5::9",
        ]));
        plugin
    }

    async fn ask(&self, question: &str, body: &str) -> Value {
        let stream = UnixStream::connect(self.socket()).await.unwrap();
        let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        let connection = tokio::spawn(connection);
        let request = Request::post(question)
            .header("Host", "")
            .body(Full::<bytes::Bytes>::from(body.to_owned()));
        let response = client.send_request(request.unwrap()).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        connection.abort();
        serde_json::from_slice(&body).unwrap()
    }

    /// A container of the dual-stack network joins; the answer to `Join`.
    async fn join(&self, endpoint: &str, v4: &str, v6: &str) -> Value {
        let created = json!({"NetworkID": NETWORK, "EndpointID": endpoint, "Interface": {
            "Address": format!("{v4}/24"), "AddressIPv6": format!("{v6}/64"), "MacAddress": ""}});
        let answer = self
            .ask("/NetworkDriver.CreateEndpoint", &created.to_string())
            .await;
        assert_eq!(answer["Err"], Value::Null, "{answer}");
        let join = json!({"NetworkID": NETWORK, "EndpointID": endpoint, "SandboxKey": SANDBOX});
        let answer = self.ask("/NetworkDriver.Join", &join.to_string()).await;
        assert_eq!(answer["Err"], Value::Null, "{answer}");
        answer
    }
}

fn is_there(link: &str) -> bool {
    Path::new("/proc/sys/net/ipv4/conf").join(link).exists()
}

fn veth(plugin: &Plugin) -> String {
    plugin.locals().borrow()[&ip("10.0.5.8")].veth.clone()
}

/// What the engine does with the answer to `Join`, in a namespace that lives as
/// long as the sockets which come out of it, one for each address.
fn container(answer: &Value, v4: &str, v6: &str) -> Vec<UdpSocket> {
    let (source, answer) = (
        answer["InterfaceName"]["SrcName"].as_str().unwrap(),
        answer.clone(),
    );
    let addresses = [format!("{v4}/24"), format!("{v6}/64")];
    let (here, told) = (mpsc::channel(), mpsc::channel::<()>());
    let (name, own) = (source.to_owned(), [ip(v4), ip(v6)]);
    let inside = std::thread::spawn(move || {
        netns::enter_new_network();
        ip_command("link set lo up");
        here.0
            .send(rustix::thread::gettid().as_raw_nonzero())
            .unwrap();
        told.1.recv().unwrap();
        ip_command(&format!("link set {name} name eth0"));
        for address in &addresses {
            ip_command(&format!("addr add {address} dev eth0 nodad"));
        }
        ip_command("link set eth0 up");
        for route in answer["StaticRoutes"].as_array().unwrap() {
            let destination = route["Destination"].as_str().unwrap();
            match route["NextHop"].as_str() {
                Some(hop) => ip_command(&format!("route add {destination} via {hop}")),
                None => ip_command(&format!("route add {destination} dev eth0")),
            };
        }
        own.map(|address| UdpSocket::bind((address, 7)).unwrap())
    });
    let thread = here.1.recv().expect("the container's namespace");
    ip_command(&format!("link set {source} netns {thread}"));
    told.0.send(()).unwrap();
    inside.join().unwrap().into()
}

/// A datagram there and back.
fn talk(a: &UdpSocket, b: &UdpSocket) -> io::Result<()> {
    let mut buffer = [0; 16];
    for (from, to) in [(a, b), (b, a)] {
        to.set_read_timeout(Some(Duration::from_secs(5)))?;
        from.send_to(b"hello", to.local_addr()?)?;
        let (length, source) = hear(to, &mut buffer)?;
        assert_eq!(
            (&buffer[..length], source),
            (&b"hello"[..], from.local_addr()?)
        );
    }
    Ok(())
}

#[test]
fn two_containers_of_a_host_reach_each_other_through_it() {
    in_new_network(|| async {
        forward();
        let place = Place::new();
        let plugin = place.open().await;
        place
            .ask("/NetworkDriver.CreateNetwork", CREATE_NETWORK)
            .await;
        let first = place.join(ENDPOINT, "10.0.5.8", "fd00:5::3").await;
        let second = place.join("other", "10.0.5.9", "fd00:5::9").await;

        let first = container(&first, "10.0.5.8", "fd00:5::3");
        let second = container(&second, "10.0.5.9", "fd00:5::9");
        for (a, b) in first.iter().zip(&second) {
            talk(a, b).unwrap();
        }

        // Also where nobody but the daemon had to do with it.
        let link = veth(&plugin);
        plugin.close().await;
        ip_command("neigh flush all");
        talk(&first[0], &second[0]).unwrap();
        let shown = ip_command(&format!("link show {link}"));
        assert!(
            shown.contains("mtu 1400") && shown.contains("ee:ee:ee:ee:ee:ee"),
            "{shown}"
        );
    });
}

#[test]
fn packets_are_as_large_as_the_network_says_and_the_tunnel_carries() {
    for (said, mtu) in [("1300", 1300), ("9000", 1400)] {
        in_new_network(move || async move {
            let place = Place::new();
            let plugin = place.open().await;
            let mut network: Value = serde_json::from_str(CREATE_NETWORK).unwrap();
            network["Options"]["com.docker.network.generic"]["com.docker.network.driver.mtu"] =
                json!(said);
            place
                .ask("/NetworkDriver.CreateNetwork", &network.to_string())
                .await;
            let answer = place.join(ENDPOINT, "10.0.5.8", "fd00:5::3").await;
            let inside = answer["InterfaceName"]["SrcName"].as_str().unwrap();
            for end in [&veth(&plugin), inside] {
                let shown = ip_command(&format!("link show {end}"));
                assert!(shown.contains(&format!("mtu {mtu} ")), "{said}: {shown}");
            }
        });
    }
}

#[test]
fn a_container_that_leaves_leaves_no_link() {
    in_new_network(|| async {
        let place = Place::new();
        let plugin = place.open().await;
        let mut locals = plugin.locals();
        place
            .ask("/NetworkDriver.CreateNetwork", CREATE_NETWORK)
            .await;
        place.join(ENDPOINT, "10.0.5.8", "fd00:5::3").await;
        assert_eq!(locals.borrow_and_update().len(), 2);
        let link = veth(&plugin);
        assert!(is_there(&link));

        assert_eq!(place.ask("/NetworkDriver.Leave", LEAVE).await, json!({}));
        assert!(locals.borrow_and_update().is_empty());
        assert!(!is_there(&link));
        assert_eq!(
            place.ask("/NetworkDriver.DeleteEndpoint", LEAVE).await,
            json!({})
        );
        assert_eq!(ip_command("route show"), "");
    });
}

#[test]
fn the_next_daemon_adopts_what_lives_and_removes_what_is_nobodys() {
    in_new_network(|| async {
        let place = Place::new();
        let plugin = place.open().await;
        place
            .ask("/NetworkDriver.CreateNetwork", CREATE_NETWORK)
            .await;
        place.join(ENDPOINT, "10.0.5.8", "fd00:5::3").await;
        let (link, locals) = (veth(&plugin), plugin.locals().borrow().clone());
        plugin.close().await;
        assert!(!place.socket().exists());

        ip_command("link add swv0000zzzzzz type veth peer name swv0000zzzzzzc");
        ip_command("link add swv0001zzzzzz type veth peer name other");
        ip_command("route del 10.0.5.8");
        let plugin = place.open().await;
        assert_eq!(*plugin.locals().borrow(), locals);
        let shown = ip_command("-brief link show");
        assert!(is_there(&link) && is_there("swv0001zzzzzz"), "{shown}");
        assert!(!is_there("swv0000zzzzzz"));
        assert!(ip_command("route show").contains(&format!("10.0.5.8 dev {link}")));
        // Known still, though the engine has not said it again.
        place.join("other", "10.0.5.9", "fd00:5::9").await;

        plugin.close().await;
        ip_command(&format!("link del {link}"));
        let plugin = place.open().await;
        assert_eq!(plugin.locals().borrow().len(), 2);
        assert!(!plugin.locals().borrow().contains_key(&ip("10.0.5.8")));
    });
}

#[test]
fn a_container_of_a_user_gets_a_managers_address_and_gives_it_back() {
    in_new_network(|| async {
        let place = Place::new();
        let plugin = place.open().await;
        plugin.expect(Expected::new());
        place
            .ask("/NetworkDriver.CreateNetwork", CREATE_NETWORK)
            .await;
        let pool =
            |net| json!({"PoolID": format!("0000000000000000000000abc/{net}"), "Address": ""});
        let (v4, v6) = (pool("10.0.5.0/24"), pool("fd00:5::/64"));
        let place = &place;
        let ask = |pool: Value| async move {
            place
                .ask("/IpamDriver.RequestAddress", &pool.to_string())
                .await
        };
        assert_eq!(ask(v4.clone()).await["Err"], "no manager is in reach");
        assert_eq!(place.manager.held(), [0, 1, 0], "asked for, and in vain");

        let addrs = ["10.0.5.8/24", "fd00:5::3/64"].map(|text| text.parse().unwrap());
        let grant = Grant {
            addrs: addrs.into(),
            ticket: vec![7],
        };
        place
            .manager
            .grants
            .lock()
            .unwrap()
            .insert(SWARM_NETWORK, grant);
        assert_eq!(ask(v4.clone()).await["Address"], "10.0.5.8/24");
        assert_eq!(ask(v6.clone()).await["Address"], "fd00:5::3/64");
        place.join(ENDPOINT, "10.0.5.8", "fd00:5::3").await;
        let attached = plugin.attached().borrow().clone();
        assert_eq!(attached.len(), 1);

        // The next daemon knows of it.
        plugin.close().await;
        let plugin = place.open().await;
        plugin.expect(Expected::new());
        assert_eq!(*plugin.attached().borrow(), attached);

        for question in ["Leave", "DeleteEndpoint"] {
            place
                .ask(&format!("/NetworkDriver.{question}"), LEAVE)
                .await;
        }
        assert!(plugin.attached().borrow().is_empty());
        for (mut pool, addr) in [(v4, "10.0.5.8"), (v6, "fd00:5::3")] {
            pool["Address"] = json!(addr);
            let released = place
                .ask("/IpamDriver.ReleaseAddress", &pool.to_string())
                .await;
            assert_eq!(released, json!({}));
        }
        assert_eq!(place.manager.held(), [0, 1, 0, 1, 1, 0]);
    });
}

#[test]
fn an_address_of_nobody_gets_no_link() {
    in_new_network(|| async {
        let place = Place::new();
        let plugin = place.open().await;
        plugin.expect(Expected::new());
        place
            .ask("/NetworkDriver.CreateNetwork", CREATE_NETWORK)
            .await;
        let answer = place
            .ask("/NetworkDriver.CreateEndpoint", CREATE_ENDPOINT)
            .await;
        assert_eq!(
            answer["Err"],
            "address 10.0.5.8 is not assigned to a container of this node on this network"
        );
        let answer = place.ask("/NetworkDriver.Join", JOIN).await;
        assert_eq!(answer["Err"], "endpoint bd8f235b9263 is not known here");
        assert!(plugin.locals().borrow().is_empty());
    });
}

#[test]
fn a_purged_plugin_leaves_nothing() {
    in_new_network(|| async {
        let place = Place::new();
        let plugin = place.open().await;
        place
            .ask("/NetworkDriver.CreateNetwork", CREATE_NETWORK)
            .await;
        place.join(ENDPOINT, "10.0.5.8", "fd00:5::3").await;
        let (link, locals) = (veth(&plugin), plugin.locals());
        plugin.purge().await.unwrap();
        assert!(!is_there(&link));
        assert!(locals.borrow().is_empty());
        assert!(!place.socket().exists());
        assert!(!place.config().state_dir.exists());
    });
}

#[test]
fn a_stale_socket_is_replaced_and_a_served_one_is_not() {
    in_new_network(|| async {
        let place = Place::new();
        std::fs::create_dir_all(place.config().plugin_dir).unwrap();
        drop(std::os::unix::net::UnixListener::bind(place.socket()).unwrap());
        let plugin = place.open().await;
        let activated = place.ask("/Plugin.Activate", "").await;
        assert_eq!(
            activated,
            json!({"Implements": ["NetworkDriver", "IpamDriver"]})
        );

        let second = Plugin::open(place.config()).await.unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(place.ask("/Plugin.Activate", "").await, activated);
        drop(plugin);
    });
}

#[test]
fn a_question_that_is_too_large_is_refused() {
    in_new_network(|| async {
        let place = Place::new();
        let _plugin = place.open().await;
        let large = format!("{{\"NetworkID\":\"{}\"}}", "a".repeat(300 << 10));
        let answer = place.ask("/NetworkDriver.CreateNetwork", &large).await;
        assert!(answer["Err"].is_string(), "{answer}");
        let unknown = place.ask("/NetworkDriver.AllocateNetwork", "{}").await;
        assert_eq!(unknown["Err"], "404 page not found");
    });
}
