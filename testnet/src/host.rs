//! One host: run things in it, cut its cable, take its power or its address.
//!
//! A `Host` is a name and a folder, nothing more; what it tells is asked of
//! the kernel and of the host's init each time, so any number of them, also in
//! different processes, stay true.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::command::{self, Output};
use crate::control::{self, Request, ServiceName, ServiceReport};
use crate::error::{Context, Error, Result};
use crate::http::{self, Response};
use crate::init::{CONTROL_SOCKET, PATH};
use crate::netns::Netns;
use crate::plan::HostPlan;
use crate::procs::{self, Role};
use crate::service::Service;
use crate::store::{HostDir, NetDir};
use crate::wait::wait_for;
use crate::{cable, cgroups, images};

/// Variables that would lead a program in a host to something outside of it.
const LEADING_OUT: [&str; 10] = [
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
    "http_proxy",
    "https_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
];

/// A host of a testnet, with or without power.
#[derive(Debug, Clone)]
pub struct Host {
    net: NetDir,
    plan: HostPlan,
}

/// Does the host have power?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    On,
    Off,
}

impl Host {
    pub(crate) fn new(net: NetDir, plan: HostPlan) -> Self {
        Self { net, plan }
    }

    /// h1, h2, …
    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// Its address on the testnet's LAN.
    pub fn ip(&self) -> Ipv4Addr {
        self.disk().address().unwrap_or(self.plan.ip)
    }

    /// Where its disk is on this machine; survives its power.
    pub fn disk_path(&self) -> PathBuf {
        self.disk().0
    }

    /// The folder of its logs: `init.log`, `engine.log`, `daemon.log`.
    pub fn logs(&self) -> PathBuf {
        self.disk().logs()
    }

    /// Is it powered on?
    pub fn power(&self) -> Power {
        procs::init_of(&self.net.path, self.name()).map_or(Power::Off, |_| Power::On)
    }

    /// Is its network cable in?
    pub fn cable_in(&self) -> bool {
        self.disk().cable_in()
    }

    /// The host's Docker Engine.
    pub fn engine(&self) -> Service {
        Service::new(self.clone(), ServiceName::Engine)
    }

    /// The host's swarmlet daemon.
    pub fn daemon(&self) -> Service {
        Service::new(self.clone(), ServiceName::Daemon)
    }
}

/// Running things in a host.
impl Host {
    /// Prepares `argv` to run inside the host: its mounts, processes, name and
    /// network; swarmlet and docker on `PATH`; the caller's folder if it is
    /// seen there.
    pub fn command(&self, argv: &[&str]) -> Result<Command> {
        let init = self.init()?;
        let here = std::env::current_dir().unwrap_or_default();
        let folder = if self.path_in(init, &here).is_dir() {
            here
        } else {
            "/".into()
        };
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={init}"))
            .args(["--mount", "--uts", "--net", "--pid"])
            .arg(format!("--wdns={}", folder.display()))
            .arg("--")
            .args(argv)
            .env("PATH", PATH)
            .env("HOSTNAME", self.name());
        for name in LEADING_OUT {
            command.env_remove(name);
        }
        Ok(command)
    }

    /// Runs `argv` to its end; any exit code is an `Ok`.
    pub fn run(&self, argv: &[&str]) -> Result<Output> {
        command::capture(self.name(), &mut self.command(argv)?, "")
    }

    /// Runs `argv` and returns its stdout; anything but exit code 0 is an
    /// error with all that was printed.
    pub fn ok(&self, argv: &[&str]) -> Result<String> {
        let output = self.run(argv)?;
        if output.ok() {
            Ok(output.stdout)
        } else {
            Err(command::failure(self.name(), &argv.join(" "), &output))
        }
    }

    /// Starts `argv` with piped streams. It ends with the host's power at the
    /// latest; the caller waits for it.
    pub fn spawn(&self, argv: &[&str]) -> Result<Child> {
        self.command(argv)?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context(|| format!("{}: start {}", self.name(), argv.join(" ")))
    }

    /// `GET`s `http://name-or-address[:port]/path` from the host's network.
    /// Names are those of the hosts, and `localhost`.
    pub fn http_get(&self, url: &str) -> Result<Response> {
        let (name, port, path) = http::parse_url(url)?;
        let names = self.net.plan()?.etc_hosts();
        let ip = http::resolve(&names, &name).ok_or_else(|| Error::BadUrl {
            url: url.to_owned(),
            reason: format!("no host is called `{name}`"),
        })?;
        http::get_from(&self.netns()?, SocketAddr::new(ip, port), &path)
    }

    /// Does `work` as if on this host's network: sockets that it opens are there.
    pub fn on_network<T: Send>(
        &self,
        work: impl FnOnce() -> std::io::Result<T> + Send,
    ) -> Result<T> {
        self.netns()?
            .enter(work)
            .context(|| format!("work on the network of {}", self.name()))
    }

    /// Its network.
    pub fn netns(&self) -> Result<Netns> {
        Ok(Netns::of_process(self.init()?))
    }

    /// The network of the running container with this id or name.
    pub fn container_netns(&self, id: &str) -> Result<Netns> {
        let pid = self.ok(&["docker", "inspect", "-f", "{{.State.Pid}}", id])?;
        Ok(Netns::at(
            self.path(&format!("/proc/{}/ns/net", pid.trim()))?,
        ))
    }

    /// A path inside the running host, as this machine reaches it.
    pub fn path(&self, inside: &str) -> Result<PathBuf> {
        Ok(self.path_in(self.init()?, inside.as_ref()))
    }

    fn path_in(&self, init: i32, inside: &std::path::Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{init}/root"));
        root.join(inside.strip_prefix("/").unwrap_or(inside))
    }
}

/// Cable and power.
impl Host {
    /// Unplugs the network cable; it stays out over a boot.
    pub fn cut(&self) -> Result<()> {
        self.set_cable(false)
    }

    /// Plugs the network cable in again.
    pub fn heal(&self) -> Result<()> {
        self.set_cable(true)
    }

    /// Gives it the other one of its addresses, as a DHCP server may when a
    /// lease ends, and returns it. Names still lead to the first one.
    pub fn change_address(&self) -> Result<Ipv4Addr> {
        let (_net, _host) = (self.net.share()?, self.disk().own()?);
        let [first, second] = self.plan.leases();
        let next = if self.ip() == first { second } else { first };
        cable::readdress(self.init()?, &self.plan, next)?;
        self.disk().set_address(next)?;
        Ok(next)
    }

    /// Takes the power: everything in the host dies at once, the disk stays.
    pub fn kill(&self) -> Result<()> {
        let (_net, _host) = (self.net.share()?, self.disk().own()?);
        self.init()?;
        self.power_off()
    }

    /// Gives power: the host boots with the disk it had, and its engine and
    /// daemon (where there is one) answer when this returns.
    pub fn boot(&self) -> Result<()> {
        let (_net, _host) = (self.net.share()?, self.disk().own()?);
        self.power_on()
    }

    fn set_cable(&self, plugged: bool) -> Result<()> {
        let (_net, _host) = (self.net.share()?, self.disk().own()?);
        if self.power() == Power::On {
            cable::connect(self.switch()?, &self.plan, plugged)?;
        }
        self.disk().set_cable(plugged)
    }

    pub(crate) fn power_off(&self) -> Result<()> {
        // First, or its kernel would say goodbye (resets, unreachable ports)
        // in the name of processes that are gone.
        cable::connect(self.switch()?, &self.plan, false)?;
        procs::end(
            &self.net.path,
            |role| matches!(role, Role::Init { host } | Role::Launcher { host } if host == self.name()),
        )?;
        cable::unplug(self.switch()?, &self.plan)?;
        cgroups::remove(&cgroups::of_host(&self.net.name, self.name()))
    }

    /// [`Host::boot`] for who holds the locks.
    pub(crate) fn power_on(&self) -> Result<()> {
        if self.power() == Power::On {
            return Err(Error::HostOn(self.name().to_owned()));
        }
        self.launch()?;
        let (switch, init) = (self.switch()?, self.init()?);
        cable::plug(switch, init, &self.plan, self.ip(), self.cable_in())?;

        let (daemon, engine) = (self.daemon(), self.engine());
        let has_daemon = daemon.is_installed()?;
        // The daemon first, as on real machines: engines look for its driver.
        if has_daemon {
            daemon.spawn()?;
        }
        engine.start()?;
        self.load_images()?;
        if has_daemon {
            daemon.await_ready()?;
        }
        Ok(())
    }

    /// Starts the init in new namespaces and waits until it listens.
    fn launch(&self) -> Result<()> {
        let log = self.logs().join("init.log");
        let open_log = || {
            fs::File::options()
                .create(true)
                .append(true)
                .open(&log)
                .context(|| format!("open {}", log.display()))
        };
        let mut launcher = Command::new("unshare");
        launcher
            .args(["--net", "--pid", "--mount", "--uts", "--fork"])
            .args(["--kill-child", "--"])
            .arg(self.net.bin().join("testnet"))
            .args(procs::verb_args(
                procs::INIT_VERB,
                &self.net.path,
                Some(self.name()),
            ))
            .current_dir("/")
            .process_group(0)
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", "/root")
            .envs(std::env::vars_os().filter(|(name, _)| name == "RUST_LOG"))
            .stdin(Stdio::null())
            .stdout(open_log()?)
            .stderr(open_log()?);
        let mut launcher = launcher
            .spawn()
            .context(|| format!("{}: start the init", self.name()))?;
        // The outer result ends the waiting, the inner one says how.
        let listening = wait_for(
            &format!("the init of {}", self.name()),
            Duration::from_secs(20),
            || match launcher.try_wait() {
                Ok(Some(status)) => Ok(Err(format!("ended: {status}; see {}", log.display()))),
                _ => match self.services() {
                    Ok(_) => Ok(Ok(())),
                    Err(e) => Err(e),
                },
            },
        )?;
        // Someone has to collect the launcher when the host dies before us.
        std::thread::spawn(move || launcher.wait());
        listening.map_err(|reason| Error::Service {
            host: self.name().to_owned(),
            service: "init".into(),
            reason: format!("{reason}\n{}", tail(&log, 10)),
        })
    }

    fn load_images(&self) -> Result<()> {
        let archive = self.net.images();
        for id in images::ids(&archive)? {
            let path = format!("/images/{id}/json");
            if self.engine().api("GET", &path, "")?.status == 200 {
                continue;
            }
            let input = fs::File::open(&archive).context(|| "open the images".into())?;
            let mut load = self.command(&["docker", "load", "--quiet"])?;
            let output = load
                .stdin(input)
                .output()
                .context(|| "run docker load".into())?;
            if !output.status.success() {
                return Err(Error::Service {
                    host: self.name().to_owned(),
                    service: "engine".into(),
                    reason: format!("load: {}", String::from_utf8_lossy(&output.stderr)),
                });
            }
            break;
        }
        Ok(())
    }
}

/// What the rest of the crate asks of a host.
impl Host {
    /// The machine's number of the host's init.
    pub(crate) fn init(&self) -> Result<i32> {
        procs::init_of(&self.net.path, self.name())
            .ok_or_else(|| Error::HostOff(self.name().to_owned()))
    }

    /// How the services are.
    pub(crate) fn services(&self) -> Result<Vec<ServiceReport>> {
        self.control(&Request::Status)
    }

    pub(crate) fn control(&self, request: &Request) -> Result<Vec<ServiceReport>> {
        let socket = self.path(CONTROL_SOCKET)?;
        control::ask(&socket, request)
            .context(|| format!("{}: ask the init", self.name()))?
            .map_err(|reason| Error::Service {
                host: self.name().to_owned(),
                service: match request {
                    Request::Status => "init".to_owned(),
                    Request::Start(name) | Request::Signal(name, _) => name.to_string(),
                },
                reason,
            })
    }

    fn disk(&self) -> HostDir {
        self.net.host(self.name())
    }

    fn switch(&self) -> Result<i32> {
        procs::switch_of(&self.net.path)
            .ok_or_else(|| Error::Machine("the switch is gone: take the testnet down".into()))
    }
}

/// The last `lines` lines of a log, as far as it can be read.
pub fn tail(log: &std::path::Path, lines: usize) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
