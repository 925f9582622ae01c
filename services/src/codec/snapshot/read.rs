//! Records as the state.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use super::super::{CodecError, arc_from_json, check_size, decode, from_json};
use super::{MAX_SNAPSHOT_RECORD, Record, RecordV1};
use crate::file::{FileObject, FileSpec};
use crate::generic::Generic;
use crate::id::Id;
use crate::object::{Attachment, Endpoint, Network, Node, Service, SlotId, Task, Vip};
use crate::spec::{PortSpec, ServiceSpec};
use crate::state::State;

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
    check_size(length as usize, MAX_SNAPSHOT_RECORD)?;
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
            RecordV1::Rotation(rotation) => self.state.rotation = Some(Arc::new(rotation)),
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
            RecordV1::UnlockKey(key) => {
                let cluster = self.state.cluster.as_mut();
                let cluster = cluster.ok_or_else(|| misplaced("unlock key", "cluster"))?;
                Arc::make_mut(cluster).unlock_key = Some(key);
            }
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
