//! The agent's record on disk: its bytes, sealed.
//!
//! ```text
//! b"swarmlet-agent\n"   what the file is
//! sealed                the record in bincode, under the node's data key
//! ```
//! The seal is also the checksum: a byte that changed is a file that does not
//! open. Specs and statuses travel as JSON, because they grow with every
//! release and bincode cannot grow a struct.

use std::collections::BTreeMap;
use std::sync::Arc;

use certs::seal::DataKey;
use serde::{Deserialize, Serialize};
use services::codec::{decode_file, encode_file};
use services::file::FileContent;
use services::generic::Generic;
use services::object::{TaskState, TaskStatus};
use services::reconcile::Assigned;
use services::spec::ServiceSpec;
use services::{Assignment, Id};

use crate::disk::kept::Kept;

const MAGIC: &[u8] = b"swarmlet-agent\n";
const CONTEXT: &[u8] = b"agent assignments";
/// Far above ten thousand tasks with a spec each.
const MAX_BYTES: usize = 256 << 20;

/// What outlives the daemon.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Record {
    /// The engine under which all of it was last known to be well.
    pub instance: Option<String>,
    pub assigned: Assigned,
    /// How assigned tasks ended here.
    pub outcomes: BTreeMap<Id, TaskStatus>,
}

#[derive(Serialize, Deserialize)]
enum Stored {
    /// Written where no task is on a network.
    V1(StoredV1),
    V2 {
        base: StoredV1,
        /// JSON of the networks of each task that is on any.
        networks: Vec<(Id, Vec<u8>)>,
    },
    /// Written where a task has secrets or configs.
    V3 {
        base: StoredV1,
        networks: Vec<(Id, Vec<u8>)>,
        /// In the encoding of `services::codec`.
        files: Vec<(Id, Vec<u8>)>,
    },
    /// Written where a task was given generic resources.
    V4 {
        base: StoredV1,
        networks: Vec<(Id, Vec<u8>)>,
        files: Vec<(Id, Vec<u8>)>,
        generics: Vec<(Id, Generic)>,
    },
}

#[derive(Serialize, Deserialize)]
struct StoredV1 {
    instance: Option<String>,
    /// JSON; the tasks of a service share one.
    specs: Vec<Vec<u8>>,
    assigned: Vec<StoredAssignment>,
    /// JSON of the status each.
    outcomes: Vec<(Id, Vec<u8>)>,
}

#[derive(Serialize, Deserialize)]
struct StoredAssignment {
    task: Id,
    service: Id,
    slot: u64,
    spec: u32,
    desired: TaskState,
}

/// Why the file is not a record. Nothing of it is used.
#[derive(Debug, thiserror::Error)]
pub(super) enum CodecError {
    #[error("it does not begin as such a file does")]
    Magic,
    #[error(transparent)]
    Seal(#[from] certs::seal::SealError),
    #[error("its record cannot be read: {0}")]
    Decode(#[from] bincode::error::DecodeError),
    #[error("its record cannot be written: {0}")]
    Encode(#[from] bincode::error::EncodeError),
    #[error("a file of a task in it: {0}")]
    File(#[from] services::codec::CodecError),
    #[error("its JSON cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    #[error("an assignment names spec {0}, which it does not hold")]
    NoSpec(u32),
    #[error("{0} bytes follow its record")]
    Trailing(usize),
}

impl Kept for Record {
    const FILE: &'static str = "assignments";
    const LOSS: &'static str = "the file of assignments is damaged and was set aside; containers \
         that run are kept, others start when a manager is reached";
    const MAX_BYTES: u64 = MAX_BYTES as u64;
    type Error = CodecError;

    fn seal(&self, key: &DataKey) -> Result<Vec<u8>, CodecError> {
        let sealed = key.seal(CONTEXT, &encode(self)?)?;
        Ok([MAGIC, sealed.as_slice()].concat())
    }

    fn open(bytes: &[u8], key: &DataKey) -> Result<Self, CodecError> {
        let sealed = bytes.strip_prefix(MAGIC).ok_or(CodecError::Magic)?;
        decode(&key.open(CONTEXT, sealed)?)
    }
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<MAX_BYTES>()
}

fn encode(record: &Record) -> Result<Vec<u8>, CodecError> {
    let mut specs: Vec<Vec<u8>> = Vec::new();
    let mut assigned = Vec::with_capacity(record.assigned.len());
    let mut known: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    let mut by_address: BTreeMap<*const ServiceSpec, u32> = BTreeMap::new();
    let mut networks = Vec::new();
    for assignment in record.assigned.values() {
        let address = Arc::as_ptr(&assignment.spec);
        let spec = match by_address.get(&address) {
            Some(&index) => index,
            None => {
                let json = serde_json::to_vec(&*assignment.spec)?;
                let next = u32::try_from(specs.len()).unwrap_or(u32::MAX);
                let index = *known.entry(json.clone()).or_insert(next);
                if index == next {
                    specs.push(json);
                }
                by_address.insert(address, index);
                index
            }
        };
        if !assignment.networks.is_empty() {
            networks.push((assignment.task, serde_json::to_vec(&assignment.networks)?));
        }
        assigned.push(StoredAssignment {
            task: assignment.task,
            service: assignment.service,
            slot: assignment.slot,
            spec,
            desired: assignment.desired,
        });
    }
    let outcomes = record.outcomes.iter();
    let base = StoredV1 {
        instance: record.instance.clone(),
        specs,
        assigned,
        outcomes: outcomes
            .map(|(&id, status)| Ok((id, serde_json::to_vec(status)?)))
            .collect::<Result<_, serde_json::Error>>()?,
    };
    let of_tasks = record.assigned.values().flat_map(|it| &it.files);
    let of_tasks: BTreeMap<Id, &Arc<FileContent>> = of_tasks.map(|(&id, it)| (id, it)).collect();
    let files = of_tasks.into_iter();
    let files = files.map(|(id, content)| Ok((id, encode_file(content)?)));
    let files: Vec<(Id, Vec<u8>)> = files.collect::<Result<_, CodecError>>()?;
    let given = record.assigned.values().filter(|it| !it.generic.is_empty());
    let generics: Vec<(Id, Generic)> = given.map(|it| (it.task, it.generic.clone())).collect();
    let stored = match (networks.is_empty(), files.is_empty(), generics.is_empty()) {
        (true, true, true) => Stored::V1(base),
        (false, true, true) => Stored::V2 { base, networks },
        (_, false, true) => Stored::V3 {
            base,
            networks,
            files,
        },
        (_, _, false) => Stored::V4 {
            base,
            networks,
            files,
            generics,
        },
    };
    Ok(bincode::serde::encode_to_vec(&stored, config())?)
}

fn decode(bytes: &[u8]) -> Result<Record, CodecError> {
    let (stored, used) = bincode::serde::decode_from_slice(bytes, config())?;
    if used < bytes.len() {
        return Err(CodecError::Trailing(bytes.len() - used));
    }
    let (stored, networks, files, generics) = match stored {
        Stored::V1(base) => (base, Vec::new(), Vec::new(), Vec::new()),
        Stored::V2 { base, networks } => (base, networks, Vec::new(), Vec::new()),
        Stored::V3 {
            base,
            networks,
            files,
        } => (base, networks, files, Vec::new()),
        Stored::V4 {
            base,
            networks,
            files,
            generics,
        } => (base, networks, files, generics),
    };
    let mut generics: BTreeMap<Id, Generic> = generics.into_iter().collect();
    let files = files.into_iter();
    let files = files.map(|(id, bytes)| Ok((id, Arc::new(decode_file(&bytes)?))));
    let files: BTreeMap<Id, Arc<FileContent>> = files.collect::<Result<_, CodecError>>()?;
    let mut networks: BTreeMap<Id, Vec<u8>> = networks.into_iter().collect();
    let specs = stored.specs.iter();
    let specs: Vec<Arc<ServiceSpec>> = specs
        .map(|json| serde_json::from_slice(json).map(Arc::new))
        .collect::<Result<_, _>>()?;
    let spec = |index: u32| {
        let spec = usize::try_from(index).ok().and_then(|at| specs.get(at));
        spec.cloned().ok_or(CodecError::NoSpec(index))
    };
    let assigned = stored.assigned.into_iter().map(|stored| {
        let mut assignment = Assignment {
            task: stored.task,
            service: stored.service,
            slot: stored.slot,
            spec: spec(stored.spec)?,
            desired: stored.desired,
            networks: match networks.remove(&stored.task) {
                Some(json) => serde_json::from_slice(&json)?,
                None => Vec::new(),
            },
            generic: generics.remove(&stored.task).unwrap_or_default(),
            files: BTreeMap::new(),
        };
        assignment.provide(|_, id| files.get(&id).cloned());
        Ok((stored.task, assignment))
    });
    let outcomes = stored.outcomes.into_iter();
    Ok(Record {
        instance: stored.instance,
        assigned: assigned.collect::<Result<_, CodecError>>()?,
        outcomes: outcomes
            .map(|(id, json)| Ok((id, serde_json::from_slice(&json)?)))
            .collect::<Result<_, CodecError>>()?,
    })
}

#[cfg(test)]
mod tests {
    use services::Timestamp;
    use services::assignment::AssignedNetwork;
    use services::generic::Amount;
    use services::object::Subnet;

    use super::*;
    use crate::worker::outcome;

    fn record() -> Record {
        let spec = Arc::new(ServiceSpec {
            name: "web".into(),
            ..Default::default()
        });
        // Equal to the first, and not the same: as after a delta.
        let equal = Arc::new(ServiceSpec::clone(&spec));
        let assigned = [(1, &spec), (2, &spec), (3, &equal)].map(|(id, spec)| {
            let assignment = Assignment {
                task: Id::from_u128(id),
                service: Id::from_u128(9),
                slot: u64::try_from(id).unwrap(),
                spec: Arc::clone(spec),
                desired: TaskState::Running,
                networks: Vec::new(),
                generic: Generic::new(),
                files: BTreeMap::new(),
            };
            (assignment.task, assignment)
        });
        Record {
            instance: Some("boot/1/2".into()),
            assigned: assigned.into(),
            outcomes: [(Id::from_u128(3), outcome::accepted(Timestamp(7)))].into(),
        }
    }

    #[test]
    fn a_record_survives_its_bytes_and_tasks_share_a_spec() {
        let bytes = encode(&record()).unwrap();
        assert_eq!(decode(&bytes).unwrap(), record());
        let spec = b"\"name\":\"web\"";
        let count = bytes.windows(spec.len()).filter(|w| w == spec).count();
        assert_eq!(count, 1);
    }

    #[test]
    fn the_bytes_of_version_1_do_not_change() {
        let stored = Stored::V1(StoredV1 {
            instance: Some("i".into()),
            specs: vec![b"{}".to_vec()],
            assigned: vec![StoredAssignment {
                task: Id::from_u128(1),
                service: Id::from_u128(300),
                slot: 4,
                spec: 0,
                desired: TaskState::Running,
            }],
            outcomes: vec![(Id::from_u128(2), b"s".to_vec())],
        });
        let bytes = bincode::serde::encode_to_vec(&stored, config()).unwrap();
        let golden: &[u8] = &[
            0, // V1
            1, 1, b'i', // instance
            1, 2, b'{', b'}', // specs
            1, 1, 251, 44, 1, 4, 0, 7, // assigned
            1, 2, 1, b's', // outcomes
        ];
        assert_eq!(bytes, golden);
        let (stored, used) =
            bincode::serde::decode_from_slice::<Stored, _>(golden, config()).unwrap();
        assert!(matches!(stored, Stored::V1(_)));
        assert_eq!(used, golden.len());
    }

    #[test]
    fn a_task_keeps_its_networks() {
        let mut record = record();
        let without = encode(&record).unwrap();
        assert_eq!(without[0], 0, "as a release before networks reads it");
        let network = AssignedNetwork {
            id: Id::from_u128(5),
            name: "back".into(),
            subnets: vec![Subnet {
                net: "10.0.1.0/24".parse().unwrap(),
                gateway: "10.0.1.1".parse().unwrap(),
                range: None,
            }],
            internal: true,
            ingress: false,
            attachable: false,
            mtu: None,
            addrs: vec!["10.0.1.2/24".parse().unwrap()],
            aliases: vec!["db".into()],
            driver_opts: BTreeMap::new(),
            ticket: vec![7; 70],
        };
        let assignment = record.assigned.get_mut(&Id::from_u128(2)).unwrap();
        assignment.networks = vec![network];
        let bytes = encode(&record).unwrap();
        assert_eq!(bytes[0], 1, "version 2");
        assert_eq!(decode(&bytes).unwrap(), record);
    }

    #[test]
    fn a_task_keeps_its_generic_resources() {
        let mut record = record();
        let assignment = record.assigned.get_mut(&Id::from_u128(2)).unwrap();
        let names = Amount::Named(["a".into()].into());
        assignment.generic = [("gpu".into(), names), ("ssd".into(), Amount::Discrete(2))].into();
        let bytes = encode(&record).unwrap();
        assert_eq!(bytes[0], 3, "version 4");
        let generics = b"\x01\x02\x02\x03gpu\x01\x01\x01a\x03ssd\x00\x02";
        assert!(bytes.ends_with(generics), "{bytes:?}");
        assert_eq!(decode(&bytes).unwrap(), record);
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_noticed() {
        let key = DataKey::generate().unwrap();
        let bytes = record().seal(&key).unwrap();
        assert_eq!(Record::open(&bytes, &key).unwrap(), record());
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(Record::open(&damaged, &key).is_err(), "byte {at}");
            assert!(Record::open(&bytes[..at], &key).is_err(), "cut at {at}");
        }
        assert!(Record::open(&bytes, &DataKey::generate().unwrap()).is_err());
    }

    #[test]
    fn a_record_that_points_nowhere_is_refused() {
        let stored = Stored::V1(StoredV1 {
            instance: None,
            specs: Vec::new(),
            assigned: vec![StoredAssignment {
                task: Id::from_u128(1),
                service: Id::from_u128(1),
                slot: 1,
                spec: 0,
                desired: TaskState::Ready,
            }],
            outcomes: Vec::new(),
        });
        let bytes = bincode::serde::encode_to_vec(&stored, config()).unwrap();
        assert!(matches!(decode(&bytes), Err(CodecError::NoSpec(0))));
    }
}
