//! Settings, and how openraft is set up from them.

use std::{net::SocketAddr, ops::Range, path::PathBuf, sync::Arc, time::Duration};

use certs::{ClusterId, NodeId, seal::DataKey};
use openraft::SnapshotPolicy;

use crate::error::OpenError;

/// A manager, and where it listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// The manager.
    pub id: NodeId,
    /// Its control address.
    pub addr: SocketAddr,
}

/// What a node needs to take part in the log.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the log, the metadata and the snapshot are kept. Made if missing;
    /// nothing else may be in it.
    pub dir: PathBuf,
    /// This node.
    pub me: Member,
    /// The cluster whose log this is. A directory of another one is refused.
    pub cluster: ClusterId,
    /// What the log and the snapshot are sealed with.
    pub data_key: DataKey,
    /// How often a leader speaks to each follower: 200 ms. Must be longer than
    /// a round trip between any two managers. It is most of what an idle manager
    /// does: twice as often costs twice as much and finds a lost leader no sooner.
    pub heartbeat: Duration,
    /// After how much silence of its leader a follower stands for election: a
    /// random time between 500 ms and 1 s. The start must be several
    /// heartbeats, or a slow disk or a lost packet costs a leader its place.
    pub election: Range<Duration>,
    /// A snapshot is made, and the log before it dropped, after this many
    /// entries: 10,000.
    pub snapshot_after_entries: u64,
    /// The same after this many bytes of entries: 16 MiB. With the kept tail
    /// the log takes at most about three times this on disk.
    pub snapshot_after_bytes: usize,
    /// How long a proposal or a read waits for a leader and for its answer: 5 s.
    pub patience: Duration,
}

/// Entries kept although a snapshot covers them, so that a member that was away
/// for a moment needs no snapshot.
const KEPT_ENTRIES: u64 = 1000;

impl Config {
    /// The settings that suit managers on a LAN.
    pub fn new(dir: PathBuf, me: Member, cluster: ClusterId, data_key: DataKey) -> Self {
        Self {
            dir,
            me,
            cluster,
            data_key,
            heartbeat: Duration::from_millis(200),
            election: Duration::from_millis(500)..Duration::from_secs(1),
            snapshot_after_entries: 10_000,
            snapshot_after_bytes: 16 << 20,
            patience: Duration::from_secs(5),
        }
    }

    /// For how long after its last word nobody stands against a leader.
    pub(crate) fn lease(&self) -> Duration {
        self.election.end * 9 / 20
    }

    /// openraft waits for a leader's lease, as long as the longest timeout, and
    /// then for a random timeout. Both together must be within `election`, so
    /// the lease and the longest timeout get a little less than half of its end
    /// each, which leaves time for a tick and the ballot.
    pub(crate) fn to_openraft(&self) -> Result<Arc<openraft::Config>, OpenError> {
        let heartbeat = millis(self.heartbeat);
        let lease = millis(self.lease());
        let shortest = millis(self.election.start)
            .saturating_sub(lease)
            .max(heartbeat * 3 / 2);
        let config = openraft::Config {
            cluster_name: self.cluster.to_string(),
            heartbeat_interval: heartbeat,
            election_timeout_min: shortest,
            election_timeout_max: lease,
            enable_pre_vote: Some(true),
            // A state that is rebuilt from the log must hear from a quorum
            // before it leads again.
            enable_leader_restore: Some(false),
            // openraft would have a leader fall silent as soon as it misses one
            // lease of answers, so that each pause of its device costs it its
            // place: `pace` decides that.
            quorum_loss_probe_interval: None,
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.snapshot_after_entries),
            max_in_snapshot_log_to_keep: KEPT_ENTRIES.min(self.snapshot_after_entries),
            replication_lag_threshold: self.snapshot_after_entries * 2,
            max_payload_entries: 512,
            api_channel_size: Some(4096),
            notification_channel_size: Some(4096),
            state_machine_channel_size: Some(256),
            install_snapshot_timeout: 60_000,
            backoff: "50ms 100ms 200ms ...500ms".to_owned(),
            ..openraft::Config::default()
        };
        let config = config
            .validate()
            .map_err(|error| OpenError::Config(error.to_string()))?;
        Ok(Arc::new(config))
    }
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub fn config() -> Config {
        let me = Member {
            id: NodeId::from(1),
            addr: ([127, 0, 0, 1], 2377).into(),
        };
        let key = DataKey::generate().unwrap();
        Config::new("/nowhere".into(), me, ClusterId::from(1), key)
    }

    #[test]
    fn silence_before_an_election_is_within_the_range() {
        let config = config().to_openraft().unwrap();
        let lease = config.election_timeout_max;
        assert!(lease + config.election_timeout_min >= 500);
        assert!(lease + config.election_timeout_max <= 1000);
    }

    #[test]
    fn a_heartbeat_as_long_as_the_election_is_refused() {
        let mut config = config();
        config.heartbeat = config.election.start;
        assert!(matches!(config.to_openraft(), Err(OpenError::Config(_))));
    }
}
