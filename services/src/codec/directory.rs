//! What changed in a node's directory, in pieces that fit into frames.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{CodecError, decode, encode, from_json, to_json};
use crate::directory::DirectoryDelta;
use crate::id::Id;

/// Limit of one piece in bytes. One entry is of one network or service, whose
/// proposal had to be smaller.
pub const MAX_DIRECTORY_PIECE: usize = 3 << 20;
/// No entry is added to a piece that has as many bytes of them.
const FULL: usize = 256 << 10;
/// Of nodes, each some dozen bytes.
const NODES_PER_PIECE: usize = 1000;

#[derive(Serialize, Deserialize)]
enum DirectoryRecord {
    V1(PieceV1),
    NodesV1(Vec<EntryV1>),
}

#[derive(Default, Serialize, Deserialize)]
struct PieceV1 {
    data_port: Option<u16>,
    networks: Vec<EntryV1>,
    services: Vec<EntryV1>,
}

/// `None` for what is there no more, else JSON: what is known of a network, a
/// service or a node grows with every release.
type EntryV1 = (Id, Option<String>);

/// At least one piece; all of them together, in any order, are the delta.
///
/// # Errors
/// `TooLarge` for an entry beyond [`MAX_DIRECTORY_PIECE`].
pub fn encode_directory(delta: &DirectoryDelta) -> Result<Vec<Vec<u8>>, CodecError> {
    let mut pieces = Pieces::default();
    pieces.open.data_port = delta.data_port;
    for entry in entries(&delta.networks) {
        pieces.room(&entry).networks.push(entry?);
    }
    for entry in entries(&delta.services) {
        pieces.room(&entry).services.push(entry?);
    }
    pieces.full.push(pieces.open);
    let nodes: Vec<EntryV1> = entries(&delta.nodes).collect::<Result<_, _>>()?;
    let nodes = nodes.chunks(NODES_PER_PIECE).map(<[EntryV1]>::to_vec);
    let pieces = pieces.full.into_iter().map(DirectoryRecord::V1);
    let records = pieces.chain(nodes.map(DirectoryRecord::NodesV1));
    let bytes = records.map(|record| encode::<MAX_DIRECTORY_PIECE>(&record));
    bytes.collect()
}

/// One piece of a delta.
///
/// # Errors
/// `TooLarge` and `Malformed`.
pub fn decode_directory(bytes: &[u8]) -> Result<DirectoryDelta, CodecError> {
    Ok(match decode::<_, MAX_DIRECTORY_PIECE>(bytes)? {
        DirectoryRecord::V1(piece) => DirectoryDelta {
            data_port: piece.data_port,
            networks: parsed(piece.networks)?,
            services: parsed(piece.services)?,
            ..DirectoryDelta::default()
        },
        DirectoryRecord::NodesV1(nodes) => DirectoryDelta {
            nodes: parsed(nodes)?,
            ..DirectoryDelta::default()
        },
    })
}

#[derive(Default)]
struct Pieces {
    full: Vec<PieceV1>,
    open: PieceV1,
    /// In the open one.
    bytes: usize,
}

impl Pieces {
    /// The piece that an entry goes to.
    fn room(&mut self, entry: &Result<EntryV1, CodecError>) -> &mut PieceV1 {
        if self.bytes >= FULL {
            self.full.push(std::mem::take(&mut self.open));
            self.bytes = 0;
        }
        let json = entry.as_ref().ok().and_then(|(_, json)| json.as_ref());
        self.bytes += size_of::<Id>() + json.map_or(0, String::len);
        &mut self.open
    }
}

fn entries<T: Serialize>(
    changes: &BTreeMap<Id, Option<T>>,
) -> impl Iterator<Item = Result<EntryV1, CodecError>> {
    changes.iter().map(|(id, change)| {
        let json = change.as_ref().map(to_json).transpose()?;
        Ok((*id, json))
    })
}

fn parsed<T: DeserializeOwned>(
    entries: Vec<EntryV1>,
) -> Result<BTreeMap<Id, Option<T>>, CodecError> {
    let entries = entries.into_iter().map(|(id, json)| {
        let entry = json.map(|json| from_json(&json)).transpose()?;
        Ok((id, entry))
    });
    entries.collect()
}

#[cfg(test)]
mod tests;
