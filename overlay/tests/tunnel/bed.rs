//! Two hosts on one link, in namespaces that vanish with the test.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use certs::{CertificateAuthority, ClusterId, Credentials, Identity, NodeId, NodeKey, Role};
use overlay::DATA_PORT;
use overlay::tunnel::report::PathReport;
use overlay::tunnel::{Config, Local, Remote, Report, Routing, Tunnel};

const NETWORK: u128 = 1;

/// A network namespace, kept alive by a process that ends with its input.
pub struct Namespace(Child);

impl Namespace {
    fn new() -> Self {
        let mut child = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo ready && exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`unshare` of util-linux is needed");
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "a network namespace needs root");
        let namespace = Self(child);
        namespace.ip("link set lo up");
        namespace
    }

    /// Runs on a thread of its own, whose sockets and devices belong to the
    /// namespace.
    pub fn run<T: Send + 'static>(&self, act: impl FnOnce() -> T + Send + 'static) -> T {
        let path = format!("/proc/{}/ns/net", self.0.id());
        let act = move || {
            let namespace = File::open(path).unwrap();
            rustix::thread::move_into_link_name_space(namespace.as_fd(), None).unwrap();
            act()
        };
        thread::spawn(act).join().unwrap()
    }

    pub fn try_ip(&self, words: &str) -> Result<(), String> {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let output = self.run(move || Command::new("ip").args(words).output().unwrap());
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    pub fn ip(&self, words: &str) {
        self.try_ip(words).expect(words);
    }

    /// A veth pair from here to another namespace.
    fn pair(&self, name: &str, mtu: u16, other: &Self, other_name: &str) {
        self.ip(&format!(
            "link add {name} mtu {mtu} type veth peer name {other_name} mtu {mtu} netns {}",
            other.0.id()
        ));
        self.ip(&format!("link set {name} up"));
        other.ip(&format!("link set {other_name} up"));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

pub struct Host {
    pub me: NodeId,
    pub ns: Namespace,
    pub container: Namespace,
    pub container_addr: IpAddr,
    addr: SocketAddr,
    mtu: u16,
    credentials: Credentials,
    tunnel: Option<Tunnel>,
}

pub struct Bed {
    pub hosts: [Host; 2],
}

pub enum Members {
    OfOneSwarm,
    OfTwoSwarms,
}

impl Bed {
    /// A link with this MTU, and containers with that.
    pub fn new(link: u16, mtu: u16) -> Self {
        Self::with(link, mtu, Members::OfOneSwarm)
    }

    pub fn with(link: u16, mtu: u16, members: Members) -> Self {
        let swarm = Swarm::new();
        let other = match members {
            Members::OfOneSwarm => None,
            Members::OfTwoSwarms => Some(Swarm::new()),
        };
        let credentials = [swarm.member(), other.as_ref().unwrap_or(&swarm).member()];
        let mut number = 0;
        let hosts = credentials.map(|credentials| {
            number += 1;
            Host::new(number, mtu, credentials)
        });
        hosts[0].ns.pair("uplink", link, &hosts[1].ns, "uplink");
        for host in &hosts {
            host.ns
                .ip(&format!("addr add {}/24 dev uplink", host.addr.ip()));
        }
        let mut bed = Self { hosts };
        for host in &mut bed.hosts {
            host.start();
        }
        bed
    }

    /// Lets both know of each other, and waits until they are connected.
    pub fn connect(&self) {
        for host in &self.hosts {
            host.route(self, |_| {});
        }
        wait_for("a connection", || {
            self.hosts.iter().all(|host| host.path().is_some())
        });
    }
}

impl Host {
    fn new(number: u8, mtu: u16, credentials: Credentials) -> Self {
        let (ns, container) = (Namespace::new(), Namespace::new());
        let container_addr = IpAddr::from([10, 0, 5, number]);
        ns.run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
        ns.pair("veth", mtu, &container, "eth0");
        ns.ip("addr add 169.254.1.1/32 dev lo");
        ns.ip(&format!("route add {container_addr}/32 dev veth"));
        container.ip(&format!("addr add {container_addr}/32 dev eth0"));
        container.ip("route add 169.254.1.1 dev eth0");
        container.ip("route add default via 169.254.1.1 dev eth0");
        Self {
            me: credentials.node_id(),
            ns,
            container,
            container_addr,
            addr: SocketAddr::from(([192, 0, 2, number], DATA_PORT)),
            mtu,
            credentials,
            tunnel: None,
        }
    }

    fn start(&mut self) {
        let config = Config {
            device: "swl0".into(),
            mtu: self.mtu,
            listen: self.addr,
            credentials: self.credentials.clone(),
        };
        self.tunnel = Some(self.ns.run(|| Tunnel::open(config).unwrap()));
        self.ns.ip("route add 10.0.5.0/24 dev swl0");
    }

    pub fn restart(&mut self) {
        self.close();
        self.start();
    }

    /// Starts again without a word to the other.
    pub fn crash(&mut self) {
        self.ns.ip("link set uplink down");
        self.restart();
        self.ns.ip("link set uplink up");
    }

    pub fn close(&mut self) {
        if let Some(tunnel) = self.tunnel.take() {
            tunnel.close();
        }
    }

    pub fn tunnel(&self) -> &Tunnel {
        self.tunnel.as_ref().unwrap()
    }

    /// Tells it of itself and the other, changed as `change` likes.
    pub fn route(&self, bed: &Bed, change: impl FnOnce(&mut Routing)) {
        let others = || bed.hosts.iter().filter(|host| host.me != self.me);
        let mut routing = Routing {
            me: self.me,
            remote: others()
                .map(|host| {
                    let remote = Remote {
                        node: host.me,
                        network: NETWORK,
                    };
                    (host.container_addr, remote)
                })
                .collect(),
            local: BTreeMap::from([(
                self.container_addr,
                Local {
                    network: NETWORK,
                    ingress: false,
                },
            )]),
            subnets: [("10.0.5.0/24".parse().unwrap(), NETWORK)]
                .into_iter()
                .collect(),
            peers: others().map(|host| (host.me, vec![host.addr])).collect(),
        };
        change(&mut routing);
        self.tunnel().update(Arc::new(routing));
    }

    pub fn report(&self) -> Report {
        answered(self.tunnel().report())
    }

    pub fn probe(&self) -> Report {
        answered(self.tunnel().probe())
    }

    /// To the other host.
    pub fn path(&self) -> Option<PathReport> {
        self.report().peers.into_iter().find_map(|peer| peer.path)
    }
}

fn answered(report: impl Future<Output = Option<Report>>) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.build().unwrap();
    runtime.block_on(report).unwrap()
}

struct Swarm {
    authority: CertificateAuthority,
    cluster: ClusterId,
}

impl Swarm {
    fn new() -> Self {
        Self {
            authority: CertificateAuthority::create(SystemTime::now()).unwrap(),
            cluster: ClusterId::generate().unwrap(),
        }
    }

    fn member(&self) -> Credentials {
        let key = NodeKey::generate().unwrap();
        let day = Duration::from_secs(24 * 60 * 60);
        let certificate = self
            .authority
            .issue(
                &key.csr().unwrap(),
                Role::Worker,
                &self.cluster,
                day,
                SystemTime::now(),
            )
            .unwrap();
        let root = self.authority.root().clone();
        Credentials::new(Identity::new(key, certificate, root).unwrap()).unwrap()
    }
}

pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
