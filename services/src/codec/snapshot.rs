//! The whole state as a stream of records, each after its length (u32, little
//! endian), closed by a count. The stream needs no more memory than its
//! largest record. Each distinct spec of a service is written once, before
//! the first task that runs it, and shared again after reading.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::record::ClusterV1;
use super::{CodecError, arc_from_json, decode, encode, from_json, to_json};
use crate::file::{FileKind, FileObject, FileSpec};
use crate::generic::Generic;
use crate::id::Id;
use crate::object::{
    Attachment, Endpoint, JobStatus, Meta, Network, Node, Service, SlotId, Subnet, Task,
    TaskAddress, TaskState, TaskStatus, UpdateStatus, Vip,
};
use crate::spec::{PortSpec, ServiceSpec};
use crate::state::State;
use crate::time::Timestamp;

/// Limit of one record in bytes.
pub const MAX_SNAPSHOT_RECORD: usize = 8 << 20;

#[derive(Serialize, Deserialize)]
enum Record {
    V1(RecordV1),
}

#[derive(Serialize, Deserialize)]
enum RecordV1 {
    Cluster(ClusterV1),
    Node {
        id: Id,
        meta: Meta,
        spec_json: String,
        description_json: Option<String>,
        addr: SocketAddr,
    },
    RemovedNode(Id),
    Spec {
        service: Id,
        spec_version: u64,
        spec_json: String,
    },
    Service {
        id: Id,
        meta: Meta,
        spec_version: u64,
        previous_spec_json: Option<String>,
        update: Option<UpdateStatus>,
    },
    Task {
        id: Id,
        meta: Meta,
        service: Id,
        slot: u64,
        spec_version: u64,
        node: Option<Id>,
        desired: TaskState,
        status: TaskStatus,
        not_before: Timestamp,
        failures: u32,
    },
    End {
        records: u64,
    },
    Network {
        id: Id,
        meta: Meta,
        spec_json: String,
        subnets: Vec<Subnet>,
        /// Along the subnets: the last address that was picked.
        cursors: Vec<Option<IpAddr>>,
    },
    /// Of the service whose record it follows; none where it is empty, or
    /// only holds ports in host mode.
    Endpoint {
        service: Id,
        /// Along the spec's ports: what is published, `None` where that is
        /// not settled.
        published: Vec<Option<u16>>,
        vips: Vec<Vip>,
    },
    /// Of the task whose record it follows, where it has any.
    Addresses {
        task: Id,
        addresses: Vec<TaskAddress>,
    },
    /// There was an ingress network, whether it is there still or not.
    HadIngress,
    Attachment {
        id: Id,
        meta: Meta,
        network: Id,
        node: Id,
        addrs: Vec<IpNet>,
    },
    /// Of the task whose record it follows, where its slot is a node.
    NodeSlot {
        task: Id,
        node: Id,
    },
    /// Of the service whose record it follows, where that is a job.
    Job {
        service: Id,
        status: JobStatus,
    },
    /// Of the task whose record it follows, where that is a job's.
    JobTask {
        task: Id,
        iteration: u64,
    },
    File {
        id: Id,
        kind: FileKind,
        meta: Meta,
        spec_json: String,
        data: Vec<u8>,
    },
    /// Of the task whose record it follows, where it was given any.
    Generic {
        task: Id,
        generic: Generic,
    },
}

/// # Errors
/// `TooLarge` for an object beyond [`MAX_SNAPSHOT_RECORD`], and what `out`
/// fails with; then the stream is not a snapshot.
pub fn write_snapshot(state: &State, out: impl Write) -> Result<(), CodecError> {
    let mut out = Writer {
        out,
        records: 0,
        specs: BTreeSet::new(),
    };
    if let Some(cluster) = state.cluster() {
        out.record(RecordV1::Cluster(ClusterV1::of(cluster)?))?;
    }
    for node in state.nodes() {
        out.node(node)?;
    }
    for id in state.removed_nodes() {
        out.record(RecordV1::RemovedNode(id))?;
    }
    if state.had_ingress() {
        out.record(RecordV1::HadIngress)?;
    }
    for network in state.networks() {
        let cursors = state.cursors(network.id);
        out.network(network, cursors)?;
    }
    for attachment in state.attachments() {
        out.attachment(attachment)?;
    }
    for file in FileKind::ALL.into_iter().flat_map(|kind| state.files(kind)) {
        out.file(file)?;
    }
    for service in state.services() {
        out.service(service)?;
    }
    for task in state.tasks() {
        out.task(task)?;
    }
    let records = out.records;
    out.record(RecordV1::End { records })?;
    out.out.flush()?;
    Ok(())
}

struct Writer<W> {
    out: W,
    records: u64,
    specs: BTreeSet<(Id, u64)>,
}

impl<W: Write> Writer<W> {
    fn record(&mut self, record: RecordV1) -> Result<(), CodecError> {
        let bytes = encode::<MAX_SNAPSHOT_RECORD>(&Record::V1(record))?;
        let length = u32::try_from(bytes.len()).map_err(CodecError::malformed)?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&bytes)?;
        self.records += 1;
        Ok(())
    }

    fn node(&mut self, node: &Node) -> Result<(), CodecError> {
        self.record(RecordV1::Node {
            id: node.id,
            meta: node.meta,
            spec_json: to_json(&node.spec)?,
            description_json: node.description.as_ref().map(to_json).transpose()?,
            addr: node.addr,
        })
    }

    fn spec(
        &mut self,
        service: Id,
        spec_version: u64,
        spec: &ServiceSpec,
    ) -> Result<(), CodecError> {
        if !self.specs.insert((service, spec_version)) {
            return Ok(());
        }
        self.record(RecordV1::Spec {
            service,
            spec_version,
            spec_json: to_json(spec)?,
        })
    }

    fn service(&mut self, service: &Service) -> Result<(), CodecError> {
        self.spec(service.id, service.spec_version, &service.spec)?;
        let previous = service.previous_spec.as_ref();
        self.record(RecordV1::Service {
            id: service.id,
            meta: service.meta,
            spec_version: service.spec_version,
            previous_spec_json: previous.map(to_json).transpose()?,
            update: service.update.clone(),
        })?;
        if let Some(status) = service.job {
            let service = service.id;
            self.record(RecordV1::Job { service, status })?;
        }
        if is_plain(service) {
            return Ok(());
        }
        self.record(RecordV1::Endpoint {
            service: service.id,
            published: published(&service.spec, &service.endpoint),
            vips: service.endpoint.vips.clone(),
        })
    }

    fn network(
        &mut self,
        network: &Network,
        cursors: Vec<Option<IpAddr>>,
    ) -> Result<(), CodecError> {
        self.record(RecordV1::Network {
            id: network.id,
            meta: network.meta,
            spec_json: to_json(&network.spec)?,
            subnets: network.subnets.clone(),
            cursors,
        })
    }

    fn attachment(&mut self, attachment: &Attachment) -> Result<(), CodecError> {
        self.record(RecordV1::Attachment {
            id: attachment.id,
            meta: attachment.meta,
            network: attachment.network,
            node: attachment.node,
            addrs: attachment.addrs.clone(),
        })
    }

    fn file(&mut self, file: &FileObject) -> Result<(), CodecError> {
        self.record(RecordV1::File {
            id: file.id,
            kind: file.kind,
            meta: file.meta,
            spec_json: to_json(&file.spec)?,
            data: file.spec.content.data.bytes().to_vec(),
        })
    }

    fn task(&mut self, task: &Task) -> Result<(), CodecError> {
        self.spec(task.service, task.spec_version, &task.spec)?;
        self.record(RecordV1::Task {
            id: task.id,
            meta: task.meta,
            service: task.service,
            slot: task.slot.number(),
            spec_version: task.spec_version,
            node: task.node,
            desired: task.desired,
            status: task.status.clone(),
            not_before: task.not_before,
            failures: task.failures,
        })?;
        if let SlotId::Node(node) = task.slot {
            let task = task.id;
            self.record(RecordV1::NodeSlot { task, node })?;
        }
        if let Some(iteration) = task.job_iteration {
            let task = task.id;
            self.record(RecordV1::JobTask { task, iteration })?;
        }
        if !task.generic.is_empty() {
            self.record(RecordV1::Generic {
                task: task.id,
                generic: task.generic.clone(),
            })?;
        }
        if task.addresses.is_empty() {
            return Ok(());
        }
        self.record(RecordV1::Addresses {
            task: task.id,
            addresses: task.addresses.clone(),
        })
    }
}

/// Its endpoint is what its spec says, and needs no record of its own.
fn is_plain(service: &Service) -> bool {
    service.endpoint.ports == service.spec.ports() && !service.spec.is_on_networks()
}

/// Along the spec's ports, of which the endpoint's are some, in their order.
fn published(spec: &ServiceSpec, endpoint: &Endpoint) -> Vec<Option<u16>> {
    let mut settled = endpoint.ports.iter().peekable();
    let published = |port: &PortSpec| {
        let is_it = |settled: &&PortSpec| port.with_published(settled.published) == **settled;
        settled.next_if(is_it).map(|settled| settled.published)
    };
    spec.ports().iter().map(published).collect()
}

/// # Errors
/// `Malformed` and `TooLarge` for what is not a whole snapshot, and what
/// `input` fails with.
pub fn read_snapshot(mut input: impl Read) -> Result<State, CodecError> {
    let mut reader = Reader::default();
    let mut buffer = Vec::new();
    let mut read = 0;
    loop {
        let Record::V1(record) = next_record(&mut input, &mut buffer)?;
        if let RecordV1::End { records } = record {
            if records != read {
                return Err(CodecError::Malformed(format!(
                    "the snapshot has {read} records and says {records}"
                )));
            }
            return Ok(reader.state);
        }
        reader.take(record)?;
        read += 1;
    }
}

fn next_record(input: &mut impl Read, buffer: &mut Vec<u8>) -> Result<Record, CodecError> {
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    super::check_size(length as usize, MAX_SNAPSHOT_RECORD)?;
    buffer.clear();
    // `take` grows the buffer by what is there, whatever the length claims.
    let read = input.take(u64::from(length)).read_to_end(buffer)?;
    if read < length as usize {
        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
    }
    decode::<Record, MAX_SNAPSHOT_RECORD>(buffer)
}

#[derive(Default)]
struct Reader {
    state: State,
    specs: BTreeMap<(Id, u64), Arc<ServiceSpec>>,
}

impl Reader {
    fn take(&mut self, record: RecordV1) -> Result<(), CodecError> {
        match record {
            RecordV1::Cluster(cluster) => {
                self.state.cluster = Some(Arc::new(cluster.cluster()?));
            }
            RecordV1::Node {
                id,
                meta,
                spec_json,
                description_json,
                addr,
            } => self.state.put_node(Node {
                id,
                meta,
                spec: from_json(&spec_json)?,
                description: description_json.as_deref().map(from_json).transpose()?,
                addr,
            }),
            RecordV1::RemovedNode(id) => self.state.revoke_node(id),
            RecordV1::Spec {
                service,
                spec_version,
                spec_json,
            } => {
                let spec = arc_from_json(&spec_json)?;
                self.specs.insert((service, spec_version), spec);
            }
            RecordV1::Service {
                id,
                meta,
                spec_version,
                previous_spec_json,
                update,
            } => {
                let spec = self.spec(id, spec_version)?;
                let endpoint = Endpoint {
                    ports: spec.ports().to_vec(),
                    vips: Vec::new(),
                };
                self.state.put_service(Service {
                    id,
                    meta,
                    spec,
                    spec_version,
                    previous_spec: previous_spec_json
                        .as_deref()
                        .map(arc_from_json)
                        .transpose()?,
                    update,
                    job: None,
                    endpoint,
                });
            }
            RecordV1::Task {
                id,
                meta,
                service,
                slot,
                spec_version,
                node,
                desired,
                status,
                not_before,
                failures,
            } => self.state.put_task(Task {
                id,
                meta,
                service,
                slot: SlotId::Number(slot),
                job_iteration: None,
                spec: self.spec(service, spec_version)?,
                spec_version,
                node,
                desired,
                status,
                not_before,
                failures,
                addresses: Vec::new(),
                generic: Generic::new(),
            }),
            RecordV1::End { .. } => {}
            RecordV1::Network {
                id,
                meta,
                spec_json,
                subnets,
                cursors,
            } => {
                let spec = arc_from_json(&spec_json)?;
                self.state.put_network(Network {
                    id,
                    meta,
                    spec,
                    subnets,
                });
                self.state.set_cursors(id, &cursors);
            }
            RecordV1::Endpoint {
                service,
                published,
                vips,
            } => self.endpoint(service, &published, vips)?,
            RecordV1::Addresses { task, addresses } => self.state.set_addresses(task, addresses),
            RecordV1::HadIngress => self.state.set_had_ingress(),
            RecordV1::Attachment {
                id,
                meta,
                network,
                node,
                addrs,
            } => self.state.put_attachment(Attachment {
                id,
                meta,
                network,
                node,
                addrs,
            }),
            RecordV1::NodeSlot { task, node } => self.task(task)?.slot = SlotId::Node(node),
            RecordV1::Generic { task, generic } => self.task(task)?.generic = generic,
            RecordV1::JobTask { task, iteration } => {
                self.task(task)?.job_iteration = Some(iteration);
            }
            RecordV1::Job { service, status } => {
                let service = self.state.edit_service(service);
                service.ok_or_else(|| misplaced("job", "service"))?.job = Some(status);
            }
            RecordV1::File {
                id,
                kind,
                meta,
                spec_json,
                data,
            } => self.state.put_file(FileObject {
                id,
                kind,
                meta,
                spec: from_json::<FileSpec>(&spec_json)?.with_data(data.into()),
            }),
        }
        Ok(())
    }

    fn task(&mut self, id: Id) -> Result<&mut Task, CodecError> {
        let task = self.state.edit_task(id);
        task.ok_or_else(|| misplaced("slot", "task"))
    }

    fn endpoint(
        &mut self,
        id: Id,
        published: &[Option<u16>],
        vips: Vec<Vip>,
    ) -> Result<(), CodecError> {
        let service = self.state.service(id);
        let service = service.ok_or_else(|| misplaced("endpoint", "service"))?;
        let ports = service.spec.ports().iter().zip(published);
        let settled = |(port, published): (&PortSpec, &Option<u16>)| {
            published.map(|published| port.with_published(published))
        };
        let ports = ports.filter_map(settled).collect();
        self.state.set_endpoint(id, Endpoint { ports, vips });
        Ok(())
    }

    fn spec(&self, service: Id, spec_version: u64) -> Result<Arc<ServiceSpec>, CodecError> {
        self.specs
            .get(&(service, spec_version))
            .cloned()
            .ok_or_else(|| CodecError::malformed("a record names a spec that is not there"))
    }
}

fn misplaced(what: &str, whose: &str) -> CodecError {
    CodecError::malformed(format!(
        "a record is of the {what} of a {whose} that is not there"
    ))
}
