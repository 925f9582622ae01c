//! Two answers, with what differs from run to run made equal.

use std::collections::BTreeMap;
use std::fmt;

use ipnet::IpNet;
use serde_json::{Map, Value};

/// Where an answer is not Docker's.
pub struct Difference {
    pub case: String,
    /// `Status`, or the keys down to the value, with dots between.
    pub place: String,
    pub docker: Value,
    pub ours: Value,
}

impl Difference {
    pub fn key(&self) -> (String, String) {
        (self.case.clone(), self.place.clone())
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            case,
            place,
            docker,
            ours,
        } = self;
        write!(f, "{case}: {place}: Docker has {docker}, we have {ours}")
    }
}

/// Our ids, and names that were made up, by Docker's.
#[derive(Default)]
pub struct Names(BTreeMap<String, String>);

impl Names {
    /// `value` with our names in place of Docker's, within texts as well.
    pub fn ours(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.in_text(text)),
            Value::Array(items) => items.iter().map(|item| self.ours(item)).collect(),
            Value::Object(fields) => {
                let fields = fields.iter();
                fields
                    .map(|(key, it)| (key.clone(), self.ours(it)))
                    .collect()
            }
            other => other.clone(),
        }
    }

    pub fn in_text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (theirs, ours) in &self.0 {
            text = text.replace(theirs, ours);
        }
        text
    }

    /// Docker's `theirs` is `ours` from now on, if nothing else is.
    fn learn(&mut self, theirs: &str, ours: &str) {
        let known = self.0.entry(theirs.to_owned());
        known.or_insert_with(|| ours.to_owned());
    }

    /// Goes through both answers and learns what their ids are.
    pub fn meet(&mut self, docker: &Value, ours: &Value) {
        match (docker, ours) {
            (Value::String(docker), Value::String(ours)) => {
                for (docker, ours) in words(docker).zip(words(ours)) {
                    if is_id(docker) && is_id(ours) {
                        self.learn(docker, ours);
                    }
                }
            }
            (Value::Array(docker), Value::Array(ours)) => {
                for (docker, ours) in self.pairs(docker, ours) {
                    if let Some(ours) = ours {
                        self.meet(&docker, &ours);
                    }
                }
            }
            (Value::Object(docker), Value::Object(ours)) => {
                for (key, docker) in docker {
                    if let Some(ours) = ours.get(key) {
                        self.meet(docker, ours);
                    }
                }
                let name =
                    |it: &Map<String, Value>| Some(it.get("Spec")?["Name"].as_str()?.to_owned());
                if let (Some(docker), Some(ours)) = (name(docker), name(ours)) {
                    self.learn(&docker, &ours);
                }
            }
            _ => {}
        }
    }

    /// Lists of objects have no order of their own.
    fn sorted(&self, items: &[Value]) -> Vec<Value> {
        let mut items = items.to_vec();
        if items.iter().all(Value::is_object) {
            items.sort_by_cached_key(|item| {
                let known = self.ours(&item["ID"]);
                let is_known = self.0.values().any(|ours| known == ours.as_str());
                let id = is_known.then(|| known.to_string());
                let place = ["Slot", "Name", "TargetPort", "Type"].map(|key| item[key].to_string());
                let network = item["Network"]["Spec"]["Name"].to_string();
                (id, place, network)
            });
        }
        items
    }

    /// What belongs together of two lists; what only Docker has, alone.
    fn pairs(&self, docker: &[Value], ours: &[Value]) -> Vec<(Value, Option<Value>)> {
        if docker.len() == ours.len() {
            let ours = self.sorted(ours).into_iter().map(Some);
            return self.sorted(docker).into_iter().zip(ours).collect();
        }
        let mut left: Vec<&Value> = ours.iter().collect();
        let mut paired = Vec::new();
        for docker in docker {
            let mapped = self.ours(docker);
            let same = |ours: &&Value| match &mapped["ID"] {
                Value::Null => **ours == mapped,
                id => ours["ID"] == *id,
            };
            let at = left.iter().position(same);
            paired.push((docker.clone(), at.map(|at| left.remove(at).clone())));
        }
        paired
    }

    /// What is not the same in the two bodies.
    pub fn compare(&self, case: &str, docker: &Value, ours: &Value) -> Vec<Difference> {
        let mut found = Vec::new();
        self.differ(String::new(), docker, ours, &mut |place, docker, ours| {
            found.push(Difference {
                case: case.to_owned(),
                place,
                docker: docker.clone(),
                ours: ours.clone(),
            });
        });
        found.dedup_by_key(|difference| difference.key());
        found
    }

    fn differ(
        &self,
        place: String,
        docker: &Value,
        ours: &Value,
        found: &mut impl FnMut(String, &Value, &Value),
    ) {
        let below = |key: &str| match place.as_str() {
            "" => key.to_owned(),
            place => format!("{place}.{key}"),
        };
        match (docker, ours) {
            (Value::Object(docker), Value::Object(ours)) => {
                let keys = docker
                    .keys()
                    .chain(ours.keys().filter(|key| !docker.contains_key(*key)));
                for key in keys {
                    match (docker.get(key), ours.get(key)) {
                        (Some(docker), Some(ours)) if is_of_the_run(key, docker, ours) => {}
                        (Some(docker), Some(ours)) => self.differ(below(key), docker, ours, found),
                        (docker, ours) => {
                            let null = Value::Null;
                            found(below(key), docker.unwrap_or(&null), ours.unwrap_or(&null));
                        }
                    }
                }
            }
            // One that is not there hides nothing of the others.
            (Value::Array(docker), Value::Array(ours)) if docker.len() >= ours.len() => {
                for (docker, ours) in self.pairs(docker, ours) {
                    match ours {
                        Some(ours) => self.differ(place.clone(), &docker, &ours, found),
                        None => found(format!("{place}[]"), &docker, &Value::Null),
                    }
                }
            }
            (docker, ours) if self.ours(docker) == *ours => {}
            (docker, ours) => found(place, docker, ours),
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|it: char| !it.is_ascii_alphanumeric())
}

fn is_id(word: &str) -> bool {
    let base36 = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
    word.len() == 25 && word.bytes().all(base36)
}

/// A value that is another each time: it has to be of the same kind.
fn is_of_the_run(key: &str, docker: &Value, ours: &Value) -> bool {
    const TIMES: &[&str] = &[
        "Created",
        "CreatedAt",
        "UpdatedAt",
        "StartedAt",
        "CompletedAt",
        "Timestamp",
        "LastExecution",
    ];
    let is_time = |value: &Value| {
        value
            .as_str()
            .is_some_and(|it| it.parse::<jiff::Timestamp>().is_ok())
    };
    let texts = docker.is_string() && ours.is_string();
    match key {
        "Index" | "PID" => docker.is_u64() && ours.is_u64(),
        "TrustRoot" | "CertIssuerPublicKey" | "ContainerID" => texts,
        // Of the join tokens, which have the same form.
        "Worker" | "Manager" => texts,
        "Addresses" => networks(docker) == networks(ours),
        key if TIMES.contains(&key) => is_time(docker) && is_time(ours),
        _ => false,
    }
}

/// Of addresses with their prefix lengths.
fn networks(addresses: &Value) -> Vec<Option<IpNet>> {
    let addresses = addresses.as_array().into_iter().flatten();
    let network = |it: &Value| Some(it.as_str()?.parse::<IpNet>().ok()?.trunc());
    addresses.map(network).collect()
}
