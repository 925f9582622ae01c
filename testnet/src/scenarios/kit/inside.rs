//! Containers as places to ask from, and what the test server answers.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use swarmlet_testnet::{Host, Netns};

use super::{Swarm, Task, api};

const UDP_TRIES: usize = 5;
const UDP_PATIENCE: Duration = Duration::from_secs(1);

/// A running container.
#[derive(Debug, Clone)]
pub struct Inside {
    host: Host,
    id: String,
}

/// What `whoami` says of itself and of its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer(String);

impl Inside {
    pub fn of(host: &Host, id: &str) -> Self {
        Self {
            host: host.clone(),
            id: id.to_owned(),
        }
    }

    pub fn host(&self) -> &Host {
        &self.host
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// As [`Answer::server`] says it.
    pub fn hostname(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }

    pub fn netns(&self) -> Result<Netns> {
        Ok(self.host.container_netns(&self.id)?)
    }

    /// Its own file `/tmp/NAME` appears.
    pub fn touch(&self, name: &str) -> Result<()> {
        let file = format!("/tmp/{name}");
        self.host
            .ok(&["docker", "exec", &self.id, "touch", &file])?;
        Ok(())
    }

    /// `GET`s `/` at a name or an address, resolved as programs in it do.
    pub fn get(&self, name: &str) -> Result<Answer> {
        const GET: &str = r"printf 'GET / HTTP/1.0\r\n\r\n' | busybox nc -w 5 $0 80";
        let ask = ["docker", "exec", &self.id, "busybox", "sh", "-c", GET, name];
        let said = self.host.ok(&ask)?;
        let (head, body) = said.split_once("\r\n\r\n").context("no answer")?;
        ensure!(head.starts_with("HTTP/1.1 200 "), "{said}");
        Ok(Answer(body.to_owned()))
    }

    /// `GET`s port 80 of an address, from its network.
    pub fn get_at(&self, addr: IpAddr) -> Result<Answer> {
        get_at(&self.netns()?, SocketAddr::new(addr, 80))
    }

    /// The addresses that a name stands for; none where it is unknown.
    pub fn resolve(&self, name: &str) -> Result<BTreeSet<IpAddr>> {
        let lookup = ["docker", "exec", &self.id, "busybox", "nslookup", name];
        let output = self.host.run(&lookup)?;
        // The last where no server of the outside answers.
        let refused = ["NXDOMAIN", "REFUSED", "No answer", "SERVFAIL"];
        ensure!(
            output.ok() || refused.iter().any(|word| output.to_string().contains(word)),
            "nslookup {name}: {output}"
        );
        Ok(addresses(&output.stdout))
    }

    /// Its addresses on a network, as its engine says.
    pub fn addresses(&self, network: &str) -> Result<BTreeSet<IpAddr>> {
        let found = api::get_engine(&self.host, &format!("/containers/{}/json", self.id))?;
        let on = &found["NetworkSettings"]["Networks"][network];
        let keys = ["IPAddress", "GlobalIPv6Address"];
        let texts = keys.iter().filter_map(|key| on[*key].as_str());
        let addrs: BTreeSet<IpAddr> = texts.flat_map(str::parse).collect();
        ensure!(!addrs.is_empty(), "not on {network}: {on}");
        Ok(addrs)
    }

    /// The only one of them.
    pub fn address(&self, network: &str) -> Result<IpAddr> {
        let all = self.addresses(network)?;
        ensure!(all.len() == 1, "{all:?}");
        all.into_iter().next().context("no address")
    }
}

impl Swarm {
    /// The containers of the `count` tasks of a service, once all run; in the
    /// order of their hosts.
    pub fn inside(&self, ask: &Host, service: &str, count: usize) -> Result<Vec<Inside>> {
        let mut tasks = self.settled(ask, service, count)?;
        tasks.sort_by(|a, b| a.node.cmp(&b.node));
        let inside = |task: &Task| Ok(Inside::of(self.named(&task.node)?, &task.container));
        tasks.iter().map(inside).collect()
    }
}

impl Answer {
    /// The host name of the container that answered.
    pub fn server(&self) -> &str {
        self.field("Hostname").unwrap_or_default()
    }

    /// Whom it takes for its client.
    pub fn client(&self) -> Result<IpAddr> {
        let text = self
            .field("Client")
            .with_context(|| format!("no client: {self:?}"))?;
        let addr: SocketAddr = text.parse().with_context(|| text.to_owned())?;
        Ok(addr.ip())
    }

    fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.0.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// `GET`s `/` from a network.
pub fn get_at(from: &Netns, server: SocketAddr) -> Result<Answer> {
    let answer = from.enter(|| swarmlet_testnet::http_get(server, "/"));
    let answer = answer.with_context(|| format!("GET http://{server}/"))?;
    ensure!(answer.status == 200, "{answer:?}");
    Ok(Answer(answer.body))
}

/// Asks by datagrams, again where one may have been lost.
pub fn ask_udp(from: &Netns, server: SocketAddr) -> Result<Answer> {
    let any = match server {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let said = from.enter(|| {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(UDP_PATIENCE))?;
        let mut answer = [0; 2048];
        for _ in 0..UDP_TRIES {
            socket.send(b"who?")?;
            match socket.recv(&mut answer) {
                Ok(length) => return Ok(String::from_utf8_lossy(&answer[..length]).into_owned()),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
        Err(ErrorKind::TimedOut.into())
    });
    Ok(Answer(
        said.with_context(|| format!("ask {server} by UDP"))?,
    ))
}

/// What `nslookup` has found, without the server that it asked.
fn addresses(printed: &str) -> BTreeSet<IpAddr> {
    let answers = printed
        .lines()
        .skip_while(|line| !line.starts_with("Name:"));
    let found = answers.filter_map(|line| line.strip_prefix("Address:"));
    found.flat_map(|text| text.trim().parse()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_asked_server_is_no_answer() {
        let printed = "Server:\t\t127.0.0.11\nAddress:\t127.0.0.11:53\n\n\
                       Non-authoritative answer:\nName:\tweb\nAddress: 10.0.1.2\n\n\
                       Non-authoritative answer:\nName:\tweb\nAddress: fd00::2\n";
        let found: Vec<String> = addresses(printed).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.0.1.2", "fd00::2"]);
        assert!(addresses("Address:\t127.0.0.11:53\n").is_empty());
    }

    #[test]
    fn an_answer_names_server_and_client() {
        let answer = Answer("Hostname: abc\nClient: [fd00::9]:81\n".into());
        assert_eq!(answer.server(), "abc");
        assert_eq!(answer.client().unwrap().to_string(), "fd00::9");
    }
}
