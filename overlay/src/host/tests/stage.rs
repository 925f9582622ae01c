//! A host in a network namespace of its own, with namespaces around it that
//! stand for containers, for clients outside, and for the other nodes behind the
//! TUN device (whose part a veth plays). Needs root.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::net::{self, SocketAddrAny, SocketType, sockopt};
use tokio::runtime::{Builder, Runtime};

use crate::host::{Applied, Disturbance, Finding, Host};
use crate::kit::{Site, hear, ip, names};
use crate::netns::{enter_new_network, in_new_network};
use crate::rules::ruleset;

/// For what is to come: long, since machines are slow at times.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// For what is not to come: only as long as a packet may need.
const A_WHILE: Duration = Duration::from_millis(300);

pub struct Stage {
    runtime: Runtime,
    pub host: Option<Host>,
    pub site: Site,
}

/// Runs a test on a thread whose network namespace is a fresh host.
pub fn on_host(test: impl FnOnce(&mut Stage) + Send + 'static) {
    in_new_network(move || {
        addresses_are_good_at_once();
        sh("ip link set lo up");
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let host = runtime.block_on(async { Host::open(names()).unwrap() });
        let mut site = Site::new();
        site.host("192.0.2.1");
        test(&mut Stage {
            runtime,
            host: Some(host),
            site,
        });
    });
}

fn addresses_are_good_at_once() {
    std::fs::write("/proc/sys/net/ipv6/conf/default/dad_transmits", "0").unwrap();
}

/// Runs a command line in the thread's namespace.
pub fn sh(line: &str) -> String {
    let output = Command::new("sh").args(["-c", line]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

impl Stage {
    pub fn apply(&mut self) -> Applied {
        let table = self.site.table();
        let host = self.host.as_mut().unwrap();
        self.runtime.block_on(host.apply(&table)).unwrap()
    }

    pub fn add_routes(&mut self) {
        let table = self.site.table();
        let host = self.host.as_mut().unwrap();
        self.runtime.block_on(host.add_routes(&table)).unwrap();
    }

    /// The networks that another's route takes packets of, in words.
    pub fn rivals(&self) -> Vec<String> {
        let rivals = self.host.as_ref().unwrap().rivals();
        rivals.iter().map(ToString::to_string).collect()
    }

    /// Says the change of rules to the kernel: the text and how long that took.
    pub fn transaction(&mut self) -> (String, Duration) {
        let host = self.host.as_mut().unwrap();
        let table = self.site.table();
        let rules = ruleset(&names(), &table);
        let before = host.rules.replace(rules.clone()).unwrap();
        let text = rules.since(&before);
        let begun = Instant::now();
        self.runtime.block_on(host.commit(&text)).unwrap();
        (text, begun.elapsed())
    }

    /// Whether the host hears within [`PATIENCE`] of the transaction that `nft`
    /// makes of this script.
    pub fn hears_commit(&mut self, script: &str) -> bool {
        let host = self.host.as_mut().unwrap();
        let mut nft = Command::new("nft").arg(script).spawn().unwrap();
        let heard = async { tokio::time::timeout(PATIENCE, host.watch.committed(nft.id())).await };
        let heard = self.runtime.block_on(heard).is_ok();
        assert!(nft.wait().unwrap().success());
        heard
    }

    /// What the host hears of within [`PATIENCE`], of others.
    pub fn hears(&mut self) -> Disturbance {
        let host = self.host.as_mut().unwrap();
        let heard = async { tokio::time::timeout(PATIENCE, host.disturbed()).await };
        self.runtime.block_on(heard).unwrap().unwrap()
    }

    /// Does `deed` while rules and routes are made and removed.
    pub fn amid_a_change(&mut self, deed: impl FnOnce()) {
        let host = self.host.as_mut().unwrap();
        let table = self.site.table();
        let own = "add set inet swarmlet own { type ipv4_addr; }\n\
                   delete set inet swarmlet own\n";
        let change = async {
            host.watch.begin(table.subnets.iter().map(|(net, _)| net))?;
            host.commit(own).await.unwrap();
            deed();
            host.watch.settle()
        };
        self.runtime.block_on(change).unwrap();
    }

    /// Whether the host hears within [`PATIENCE`] that it was disturbed.
    pub fn hears_disturbance(&mut self) -> bool {
        self.is_disturbed_within(PATIENCE)
    }

    pub fn is_undisturbed(&mut self) -> bool {
        !self.is_disturbed_within(A_WHILE)
    }

    fn is_disturbed_within(&mut self, patience: Duration) -> bool {
        let host = self.host.as_mut().unwrap();
        let heard = async { tokio::time::timeout(patience, host.disturbed()).await };
        self.runtime
            .block_on(heard)
            .is_ok_and(|heard| heard.is_ok())
    }

    /// As a daemon does: the kernel has what the one before has left.
    pub fn start_anew(&mut self) {
        let host = self.runtime.block_on(async { Host::open(names()) });
        self.host = Some(host.unwrap());
    }

    pub fn diagnose(&mut self) -> Vec<Finding> {
        let table = self.site.table();
        let host = self.host.as_ref().unwrap();
        self.runtime.block_on(host.diagnose(&table)).unwrap()
    }

    pub fn clean_up(&mut self) {
        let host = self.host.take().unwrap();
        self.runtime.block_on(host.clean_up()).unwrap();
    }

    pub fn pass_engine(&mut self) {
        let host = self.host.as_mut().unwrap();
        self.runtime.block_on(host.pass_engine()).unwrap();
    }

    /// A container on one network, wired as the network driver does it.
    pub fn container(&mut self, network: u128, addr: &str) -> Space {
        self.site.local(network, addr, &veth(addr));
        self.wire(addr)
    }

    /// A ready task of a service in a container here.
    pub fn task(&mut self, service: u128, network: u128, addr: &str) -> Space {
        self.site.task(service, network, addr, crate::kit::ME);
        self.container(network, addr)
    }

    fn wire(&self, addr: &str) -> Space {
        let space = Space::open();
        let (veth, gateway) = (veth(addr), gateway(addr));
        let bits = if addr.contains(':') { 128 } else { 32 };
        sh(&format!(
            "ip link add {veth} type veth peer name eth0 netns {tid} &&
             echo 1 > /proc/sys/net/ipv6/conf/{veth}/addr_gen_mode &&
             ip link set {veth} address ee:ee:ee:ee:ee:ee up &&
             ip addr add fe80::ecee:eeff:feee:eeee/64 dev {veth} nodad &&
             echo 2 > /proc/sys/net/ipv4/conf/{veth}/rp_filter &&
             ip addr add {gateway}/{bits} dev {veth} noprefixroute nodad",
            tid = space.tid
        ));
        space.sh(&format!(
            "ip link set lo up && ip link set eth0 up &&
             ip addr add {addr}/{bits} dev eth0 nodad &&
             ip route add {gateway} dev eth0 && ip route add default via {gateway} dev eth0"
        ));
        space
    }

    /// A machine at 192.0.2.9, one link away; the host is 192.0.2.1 there.
    pub fn outside(&self) -> Space {
        let space = Space::open();
        sh(&format!(
            "ip link add up0 type veth peer name eth0 netns {tid} && ip link set up0 up &&
             ip addr add 192.0.2.1/24 dev up0 && ip addr add 2001:db8::1/64 dev up0 nodad &&
             ip route add default via 192.0.2.254",
            tid = space.tid
        ));
        space.sh(
            "ip link set lo up && ip link set eth0 up && ip addr add 192.0.2.9/24 dev eth0 &&
             ip addr add 2001:db8::9/64 dev eth0 nodad",
        );
        space
    }

    /// All that is behind the TUN device: it has the addresses given, and sends
    /// into the overlay whatever is not its own.
    pub fn tunnel(&self, addrs: &[&str]) -> Space {
        let space = Space::open();
        let tid = space.tid;
        sh(&format!(
            "ip link add swl0 type veth peer name eth0 netns {tid} && ip link set swl0 up"
        ));
        space.sh("ip link set lo up && ip link set eth0 up");
        for addr in addrs {
            space.sh(&format!("ip addr add {addr}/32 dev lo"));
        }
        let default = "ip route add default via 169.254.1.1 dev eth0 onlink";
        space.sh(&match addrs.first() {
            Some(source) => format!("{default} src {source}"),
            None => default.to_owned(),
        });
        space
    }
}

/// The host's end of the pair of the container with that address.
pub fn veth(addr: &str) -> String {
    let mut parts = addr.rsplit(['.', ':']).filter(|part| !part.is_empty());
    let (host, net) = (parts.next().unwrap(), parts.next().unwrap());
    format!("swv0000{net}x{host}")
}

fn gateway(addr: &str) -> String {
    let end = addr.rfind(['.', ':']).unwrap();
    format!("{}1", &addr[..=end])
}

type Work = Box<dyn FnOnce() + Send>;

/// A network namespace, and the thread that lives in it.
pub struct Space {
    work: mpsc::Sender<Work>,
    pub tid: i32,
}

impl Space {
    fn open() -> Self {
        let (work, todo) = mpsc::channel::<Work>();
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            enter_new_network();
            addresses_are_good_at_once();
            tell.send(rustix::thread::gettid().as_raw_pid()).unwrap();
            todo.into_iter().for_each(|work| work());
        });
        let tid = told.recv().unwrap();
        Self { work, tid }
    }

    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, told) = mpsc::channel();
        let work = move || tell.send(work()).unwrap();
        self.work.send(Box::new(work)).unwrap();
        told.recv().unwrap()
    }

    pub fn sh(&self, line: &str) -> String {
        let line = line.to_owned();
        self.run(move || sh(&line))
    }

    /// Answers each connection with `NAME CLIENT`, then echoes lines.
    pub fn serve(&self, name: &'static str, port: u16) {
        self.run(move || serve(name, port));
    }

    /// Answers each datagram with `NAME CLIENT`.
    pub fn serve_udp(&self, name: &'static str, port: u16) {
        self.run(move || serve_udp(name, port));
    }

    pub fn ask(&self, to: &str) -> Result<String, ErrorKind> {
        let to = to.to_owned();
        self.run(move || ask(&to))
    }

    /// Meanwhile, and until its packets are lost no more.
    pub fn ask_patiently(&self, to: &str) -> JoinHandle<Result<String, ErrorKind>> {
        let to = to.to_owned();
        let ask = move || Talk::within(PATIENCE, &to).map(|talk| talk.greeting);
        self.run(|| thread::spawn(ask))
    }

    pub fn ask_udp(&self, to: &str) -> Result<String, ErrorKind> {
        let to = to.to_owned();
        self.run(move || ask_udp(&to))
    }

    pub fn connect(&self, to: &str) -> Talk {
        let to = to.to_owned();
        self.run(move || Talk::to(&to)).unwrap()
    }

    pub fn connect_from(&self, port: u16, to: &str) -> Talk {
        let to = to.to_owned();
        self.run(move || Talk::from(port, &to)).unwrap()
    }

    pub fn udp_client(&self, to: &str) -> UdpClient {
        let to = to.to_owned();
        self.run(move || UdpClient::to(&to))
    }
}

pub fn ask_udp(to: &str) -> Result<String, ErrorKind> {
    UdpClient::to(to).ask()
}

pub fn serve(name: &'static str, port: u16) {
    let listener = TcpListener::bind(("::", port)).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let client = stream.peer_addr().unwrap().ip().to_canonical();
                let _ = writeln!(stream, "{name} {client}");
                let mut buffer = [0; 64];
                while let Ok(n @ 1..) = stream.read(&mut buffer) {
                    let _ = stream.write_all(&buffer[..n]);
                }
            });
        }
    });
}

pub fn serve_udp(name: &'static str, port: u16) {
    serve_udp_on(name, &format!("[::]:{port}"));
}

pub fn serve_udp_on(name: &'static str, addr: &str) {
    let socket = UdpSocket::bind(addr).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, client)) = socket.recv_from(&mut buffer) {
            let answer = format!("{name} {}", client.ip().to_canonical());
            let _ = socket.send_to(answer.as_bytes(), client);
        }
    });
}

/// What the server at `to` answers. What is dropped times out.
pub fn ask(to: &str) -> Result<String, ErrorKind> {
    Talk::to(to).map(|talk| talk.greeting)
}

/// A connection, and what the server said first.
pub struct Talk {
    pub greeting: String,
    stream: BufReader<TcpStream>,
}

impl Talk {
    fn to(to: &str) -> Result<Self, ErrorKind> {
        Self::within(A_WHILE, to)
    }

    fn within(patience: Duration, to: &str) -> Result<Self, ErrorKind> {
        let to: SocketAddr = to.parse().unwrap();
        let stream = TcpStream::connect_timeout(&to, patience).map_err(|error| error.kind())?;
        Self::over(stream)
    }

    fn from(port: u16, to: &str) -> Result<Self, ErrorKind> {
        let to: SocketAddr = to.parse().unwrap();
        let family = SocketAddrAny::from(to).address_family();
        let socket = net::socket(family, SocketType::STREAM, None).unwrap();
        let any = SocketAddr::new(unspecified(&to), port);
        net::bind(&socket, &any).unwrap();
        net::connect(&socket, &to).map_err(|error| error.kind())?;
        Self::over(socket.into())
    }

    fn over(stream: TcpStream) -> Result<Self, ErrorKind> {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = BufReader::new(stream);
        let mut greeting = String::new();
        stream
            .read_line(&mut greeting)
            .map_err(|error| error.kind())?;
        let greeting = greeting.trim().to_owned();
        Ok(Self { greeting, stream })
    }

    /// Ends it at once for both ends, by a reset.
    pub fn abort(self) {
        let now = Some(Duration::ZERO);
        sockopt::set_socket_linger(self.stream.get_ref(), now).unwrap();
    }

    /// Does the other end still answer?
    pub fn goes_on(&mut self) -> bool {
        let sent = self.stream.get_mut().write_all(b"again\n");
        let mut line = String::new();
        sent.is_ok() && self.stream.read_line(&mut line).is_ok() && line == "again\n"
    }
}

fn unspecified(to: &SocketAddr) -> IpAddr {
    ip(if to.is_ipv4() { "0.0.0.0" } else { "::" })
}

pub struct UdpClient(UdpSocket);

impl UdpClient {
    fn to(to: &str) -> Self {
        let to: SocketAddr = to.parse().unwrap();
        let socket = UdpSocket::bind((unspecified(&to), 0)).unwrap();
        socket.connect(to).unwrap();
        Self(socket)
    }

    pub fn ask(&self) -> Result<String, ErrorKind> {
        let mut buffer = [0; 64];
        self.0.set_read_timeout(Some(A_WHILE)).unwrap();
        self.0.send(b"?").map_err(|error| error.kind())?;
        let (n, _) = hear(&self.0, &mut buffer)?;
        Ok(String::from_utf8(buffer[..n].to_vec()).unwrap())
    }
}
