//! The engines of a benchmark's hosts, asked in ways that cost them little.
//!
//! When a container started is read afterwards from the engine's own events,
//! so that watching does not slow down what is watched; each engine keeps its
//! last 256 events, which bounds how many containers a round may have. Sockets
//! are found once: finding them anew reads all of `/proc`.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use swarmlet_testnet::{Host, over_unix, wait_for};

pub const ENGINE_SOCKET: &str = "/run/docker.sock";
pub const SWARMLET_SOCKET: &str = "/run/swarmlet/swarmlet.sock";
const EMPTY: Duration = Duration::from_secs(180);
const QUIET: Duration = Duration::from_secs(30);

/// What every container of a benchmark is.
pub const IMAGE: &str = "busybox";
pub const ARGS: [&str; 2] = ["sleep", "1000"];

/// A service of `replicas` containers called `name`.
pub fn spec(name: &str, replicas: usize) -> Value {
    serde_json::json!({
        "Name": name,
        "TaskTemplate": { "ContainerSpec": {
            "Image": IMAGE,
            "Args": ARGS,
            // Only tidying up is faster for it: sleep ignores SIGTERM.
            "StopGracePeriod": 1_000_000_000,
        } },
        "Mode": { "Replicated": { "Replicas": replicas } },
    })
}

/// A socket that speaks the Engine API.
#[derive(Debug, Clone)]
pub struct Api(PathBuf);

impl Api {
    /// The host's engine.
    pub fn engine(host: &Host) -> Result<Self> {
        Ok(Self(host.path(ENGINE_SOCKET)?))
    }

    /// The host's swarmlet.
    pub fn swarmlet(host: &Host) -> Result<Self> {
        Ok(Self(host.path(SWARMLET_SOCKET)?))
    }

    /// One request; anything but a 2xx answer is an error. JSON values where
    /// several follow each other, as in a list of events.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Result<Vec<Value>> {
        let answer = over_unix(&self.0, method, path, body)?;
        let (status, text) = (answer.status, &answer.body);
        ensure!(
            (200..300).contains(&status),
            "{method} {path}: {status} {text:.300}"
        );
        let values = serde_json::Deserializer::from_str(text).into_iter();
        values
            .collect::<Result<_, _>>()
            .with_context(|| format!("{method} {path}: {text:.300}"))
    }

    /// Ids of all containers, also of those that do not run.
    fn containers(&self) -> Result<Vec<String>> {
        let list = self.ask("GET", "/containers/json?all=true", "")?;
        let all = list.first().and_then(Value::as_array).context("no list")?;
        let id = |container: &Value| container["Id"].as_str().map(str::to_owned);
        Ok(all.iter().filter_map(id).collect())
    }

    /// Creates a service of `replicas` containers called `name`.
    pub fn create_service(&self, name: &str, replicas: usize) -> Result<()> {
        self.create(&spec(name, replicas))
    }

    /// Creates a service, of a spec as [`spec`] makes them.
    pub fn create(&self, spec: &Value) -> Result<()> {
        self.ask("POST", "/services/create", &spec.to_string())?;
        Ok(())
    }

    /// How many of the only service's tasks run.
    pub fn running_tasks(&self) -> Result<u64> {
        let answer = self.ask("GET", "/services?status=true", "")?;
        let count = answer
            .first()
            .map(|list| &list[0]["ServiceStatus"]["RunningTasks"]);
        Ok(count.and_then(Value::as_u64).unwrap_or(0))
    }

    /// Waits until `replicas` tasks run.
    pub fn await_running(&self, replicas: usize, limit: Duration) -> Result<()> {
        let wanted = u64::try_from(replicas)?;
        wait_for(&format!("{replicas} running tasks"), limit, || {
            match self.running_tasks() {
                Ok(running) if running == wanted => Ok(()),
                Ok(running) => Err(format!("{running} run")),
                Err(e) => Err(format!("{e:#}")),
            }
        })?;
        Ok(())
    }
}

/// The engines of all hosts.
#[derive(Debug)]
pub struct Engines {
    hosts: Vec<Host>,
    apis: Vec<Api>,
}

/// An event of `GET /events`.
#[derive(Debug, Deserialize)]
struct Event {
    #[serde(rename = "timeNano")]
    nanos: u64,
}

impl Engines {
    /// Finds the engines of `hosts`.
    pub fn of(hosts: Vec<Host>) -> Result<Self> {
        let apis = hosts.iter().map(Api::engine).collect::<Result<_>>()?;
        Ok(Self { hosts, apis })
    }

    /// The hosts, h1 first.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The engine of h1.
    pub fn first(&self) -> Result<&Api> {
        self.apis.first().context("no hosts")
    }

    /// `docker run -d` of `count` containers, spread evenly, all at once.
    /// Returns when they were asked for and how long the last took to return.
    pub fn run_detached(&self, count: usize) -> Result<(SystemTime, Duration)> {
        let run = [&["docker", "run", "-d", IMAGE], &ARGS[..]].concat();
        let mut commands: Vec<Command> = Vec::new();
        for host in self.hosts.iter().cycle().take(count) {
            let mut command = host.command(&run)?;
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped());
            commands.push(command);
        }
        let (origin, start) = (SystemTime::now(), Instant::now());
        let children: Vec<_> = commands.iter_mut().map(Command::spawn).collect();
        // All are awaited before the first failure is told.
        let outputs: Vec<_> = children
            .into_iter()
            .map(|child| child.and_then(std::process::Child::wait_with_output))
            .collect();
        let took = start.elapsed();
        for output in outputs {
            let output = output.context("docker run")?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(
                output.status.success(),
                "docker run: {} {said}",
                output.status
            );
        }
        Ok((origin, took))
    }

    /// How long after `origin` the last container started; an error unless
    /// exactly `count` did.
    pub fn last_start(&self, origin: SystemTime, count: usize) -> Result<Duration> {
        let filters = encoded(r#"{"type":["container"],"event":["start"]}"#);
        let (since, until) = (seconds(origin)?, seconds(SystemTime::now())?);
        let path = format!("/events?since={since}&until={until}&filters={filters}");
        let mut starts = Vec::new();
        for api in &self.apis {
            for event in api.ask("GET", &path, "")? {
                starts.push(Event::deserialize(event)?.nanos);
            }
        }
        let found = starts.len();
        ensure!(
            found == count,
            "{found} containers started instead of {count}"
        );
        let last = Duration::from_nanos(starts.into_iter().max().unwrap_or(0));
        Ok(last.saturating_sub(origin.duration_since(UNIX_EPOCH)?))
    }

    /// How a container of the current round is set up, where that may differ.
    pub fn setup(&self) -> Result<String> {
        let list = self.first()?.ask("GET", "/containers/json", "")?;
        let id = list
            .first()
            .and_then(|all| all[0]["Id"].as_str())
            .context("no container")?;
        let found = self
            .first()?
            .ask("GET", &format!("/containers/{id}/json"), "")?;
        let container = found.first().context("no answer")?;
        let (host, config) = (&container["HostConfig"], &container["Config"]);
        let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
        Ok(format!(
            "network {}, log {}, restart {}, {} labels",
            text(&host["NetworkMode"]),
            text(&host["LogConfig"]["Type"]),
            text(&host["RestartPolicy"]["Name"]),
            config["Labels"].as_object().map_or(0, serde_json::Map::len),
        ))
    }

    /// Removes every container by force.
    pub fn clear(&self) -> Result<()> {
        std::thread::scope(|scope| {
            let clear = |host: &Host, api: &Api| -> Result<()> {
                let all = api.containers()?;
                let ids: Vec<&str> = all.iter().map(String::as_str).collect();
                if !ids.is_empty() {
                    host.ok(&[&["docker", "rm", "--force"], &ids[..]].concat())?;
                }
                Ok(())
            };
            let pairs = self.hosts.iter().zip(&self.apis);
            let jobs: Vec<_> = pairs
                .map(|(host, api)| scope.spawn(move || clear(host, api)))
                .collect();
            jobs.into_iter().try_for_each(|job| {
                job.join()
                    .unwrap_or_else(|_| Err(anyhow::anyhow!("docker rm: its thread died")))
            })
        })?;
        self.await_empty()
    }

    /// Takes swarmlet off the hosts and makes their engines a swarm of managers,
    /// as swarmlet's was.
    pub fn change_to_swarm_mode(&self) -> Result<()> {
        for host in &self.hosts {
            host.daemon().stop(Duration::from_secs(30))?;
        }
        let (first, others) = self.hosts.split_first().context("no hosts")?;
        let address = first.ip().to_string();
        first.ok(&["docker", "swarm", "init", "--advertise-addr", &address])?;
        let token = first.ok(&["docker", "swarm", "join-token", "-q", "manager"])?;
        let remote = format!("{address}:2377");
        for host in others {
            host.ok(&["docker", "swarm", "join", "--token", token.trim(), &remote])?;
        }
        Ok(())
    }

    /// Waits until no engine has a container.
    pub fn await_empty(&self) -> Result<()> {
        wait_for("the engines to have no container", EMPTY, || {
            let mut left = 0;
            for api in &self.apis {
                left += api.containers().map_err(|e| format!("{e:#}"))?.len();
            }
            if left == 0 {
                Ok(())
            } else {
                Err(format!("{left} are left"))
            }
        })?;
        Ok(())
    }

    /// Waits until the engines have digested what was: less than 5 % of a core
    /// for each over half a second.
    pub fn await_quiet(&self) -> Result<()> {
        let pids = self.hosts.iter().map(|host| host.engine().pid());
        let pids = pids.collect::<swarmlet_testnet::Result<Vec<i32>>>()?;
        let used = || -> Result<Duration, String> {
            let usages = pids.iter().map(|pid| swarmlet_testnet::procs::usage(*pid));
            usages
                .map(|u| u.map(|u| u.cpu).map_err(|e| e.to_string()))
                .sum()
        };
        let limit = Duration::from_millis(25) * u32::try_from(pids.len())?;
        wait_for("the engines to be quiet", QUIET, || {
            let before = used()?;
            std::thread::sleep(Duration::from_millis(500));
            let spent = used()?.saturating_sub(before);
            if spent <= limit {
                Ok(())
            } else {
                Err(format!("{spent:?} of CPU in 0.5 s"))
            }
        })?;
        Ok(())
    }
}

/// `text` as a value in a URL's query.
fn encoded(text: &str) -> String {
    let mut url = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => url.push(byte.into()),
            _ => url += &format!("%{byte:02X}"),
        }
    }
    url
}

/// A time as the events route takes it.
fn seconds(time: SystemTime) -> Result<String> {
    let since = time.duration_since(UNIX_EPOCH)?;
    Ok(format!("{}.{:09}", since.as_secs(), since.subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_pass_through_a_url() {
        assert_eq!(
            encoded(r#"{"a":["b c"]}"#),
            "%7B%22a%22%3A%5B%22b%20c%22%5D%7D"
        );
    }

    #[test]
    fn times_keep_their_nanoseconds() {
        let time = UNIX_EPOCH + Duration::new(12, 34);
        assert_eq!(seconds(time).unwrap(), "12.000000034");
    }
}
