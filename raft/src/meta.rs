//! The small values that a node must not forget, in redb: whose directory this
//! is, its vote, and where its log begins.
//!
//! They change at elections and purges, so their write amplification does not
//! matter. None of them is secret.

use std::{io, path::Path};

use certs::{ClusterId, NodeId};
use redb::{Database, ReadableDatabase, TableDefinition};

use crate::{
    codec::{self, MetaRecord},
    error::{OpenError, damaged},
    types::{LogId, Vote},
};

const TABLE: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const CACHE_BYTES: usize = 256 << 10;

/// The open database, and what it held at start.
#[derive(Debug)]
pub(crate) struct Meta {
    database: Database,
    pub found: Found,
}

/// What was saved before this start.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Found {
    identity: Option<(ClusterId, NodeId)>,
    pub vote: Option<Vote>,
    pub committed: Option<LogId>,
    pub purged: Option<LogId>,
}

impl Meta {
    /// Opens the database, or creates it for this node of this cluster.
    pub fn open(path: &Path, cluster: ClusterId, node: NodeId) -> Result<Self, OpenError> {
        let io = |error: redb::Error| OpenError::io("open", path, into_io(error));
        let database = redb::Builder::new()
            .set_cache_size(CACHE_BYTES)
            .create(path)
            .map_err(|error| match error {
                redb::DatabaseError::Storage(redb::StorageError::Corrupted(problem)) => {
                    damaged(path, 0, &problem)
                }
                other => io(other.into()),
            })?;
        let mut meta = Self {
            database,
            found: Found::default(),
        };
        meta.found = meta.read().map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => damaged(path, 0, &error.to_string()),
            _ => OpenError::io("read", path, error),
        })?;
        match meta.found.identity {
            Some((found, _)) if found != cluster => Err(OpenError::OtherCluster {
                path: path.to_owned(),
                found,
                expected: cluster,
            }),
            Some((_, found)) if found != node => Err(OpenError::OtherNode {
                path: path.to_owned(),
                found,
                expected: node,
            }),
            Some(_) => Ok(meta),
            None => {
                meta.write(&[("identity", MetaRecord::IdentityV1 { cluster, node })])
                    .map_err(|error| OpenError::io("write", path, error))?;
                Ok(meta)
            }
        }
    }

    /// Saves the vote and, since it costs nothing more, how far the log is
    /// known to be committed.
    pub fn save_vote(&self, vote: &Vote, committed: Option<LogId>) -> io::Result<()> {
        let mut values = vec![("vote", MetaRecord::VoteV1(vote.into()))];
        values.extend(committed.map(|id| ("committed", MetaRecord::LogIdV1(id.into()))));
        self.write(&values)
    }

    pub fn save_committed(&self, committed: LogId) -> io::Result<()> {
        self.write(&[("committed", MetaRecord::LogIdV1(committed.into()))])
    }

    pub fn save_purged(&self, purged: LogId) -> io::Result<()> {
        self.write(&[("purged", MetaRecord::LogIdV1(purged.into()))])
    }

    fn read(&self) -> io::Result<Found> {
        let mut found = Found::default();
        let transaction = self.database.begin_read().map_err(into_io)?;
        let table = match transaction.open_table(TABLE) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(found),
            Err(error) => return Err(into_io(error)),
        };
        let get = |name| -> io::Result<Option<MetaRecord>> {
            let value = table.get(name).map_err(into_io)?;
            let record = value.map(|value| codec::decode(value.value()));
            Ok(record.transpose()?)
        };
        let log_id = |name| match get(name)? {
            Some(MetaRecord::LogIdV1(id)) => Ok(Some(LogId::from(id))),
            None => Ok(None),
            Some(_) => Err(unexpected(name)),
        };
        found.identity = match get("identity")? {
            Some(MetaRecord::IdentityV1 { cluster, node }) => Some((cluster, node)),
            None => None,
            Some(_) => return Err(unexpected("identity")),
        };
        found.vote = match get("vote")? {
            Some(MetaRecord::VoteV1(vote)) => Some(vote.into()),
            None => None,
            Some(_) => return Err(unexpected("vote")),
        };
        found.committed = log_id("committed")?;
        found.purged = log_id("purged")?;
        Ok(found)
    }

    fn write(&self, values: &[(&str, MetaRecord)]) -> io::Result<()> {
        let transaction = self.database.begin_write().map_err(into_io)?;
        {
            let mut table = transaction.open_table(TABLE).map_err(into_io)?;
            for (name, record) in values {
                let bytes = codec::encode(record)?;
                table.insert(*name, bytes.as_slice()).map_err(into_io)?;
            }
        }
        transaction.commit().map_err(into_io)
    }
}

fn unexpected(name: &str) -> io::Error {
    let problem = format!("the value of \"{name}\" is of another kind");
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

fn into_io(error: impl Into<redb::Error>) -> io::Error {
    match error.into() {
        redb::Error::Io(error) => error,
        redb::Error::Corrupted(problem) => io::Error::new(io::ErrorKind::InvalidData, problem),
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Id, log_id};

    fn open(dir: &Path, cluster: u128, node: u128) -> Result<Meta, OpenError> {
        let path = dir.join("meta.redb");
        Meta::open(&path, ClusterId::from(cluster), NodeId::from(node))
    }

    #[test]
    fn values_survive_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let vote = Vote::new_committed(3, Id::from(1));
        let meta = open(dir.path(), 5, 1).unwrap();
        assert_eq!(meta.found.vote, None);
        meta.save_vote(&vote, Some(log_id(2, 8))).unwrap();
        meta.save_purged(log_id(1, 4)).unwrap();
        drop(meta);
        let found = open(dir.path(), 5, 1).unwrap().found;
        assert_eq!(found.vote, Some(vote));
        assert_eq!(found.committed, Some(log_id(2, 8)));
        assert_eq!(found.purged, Some(log_id(1, 4)));
    }

    #[test]
    fn the_directory_of_another_cluster_or_node_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), 5, 1).unwrap();
        assert!(matches!(
            open(dir.path(), 6, 1),
            Err(OpenError::OtherCluster { .. })
        ));
        assert!(matches!(
            open(dir.path(), 5, 2),
            Err(OpenError::OtherNode { .. })
        ));
    }

    #[test]
    fn a_file_that_is_no_database_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("meta.redb"), [7; 5000]).unwrap();
        assert!(open(dir.path(), 5, 1).is_err());
    }
}
