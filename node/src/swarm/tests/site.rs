//! Devices that find each other, on a LAN that is played.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex as StdMutex;

use certs::{ClusterId, NodeId, SiteSecret};
use services::managing::{CANDIDATE, MANAGERS};

use super::*;
use crate::control::lock;
use crate::site::Options;
use crate::site::lan::{Announcement, Found};
use crate::site::progress::Stage;

/// Who announces what on one segment.
#[derive(Debug, Clone)]
struct Segment(Arc<Air>);

#[derive(Debug)]
struct Air {
    said: StdMutex<BTreeMap<SocketAddr, Announcement>>,
    changes: watch::Sender<u64>,
}

impl Segment {
    fn new() -> Self {
        Self(Arc::new(Air {
            said: StdMutex::default(),
            changes: watch::Sender::new(0),
        }))
    }

    fn say(&self, addr: SocketAddr, said: Option<Announcement>) {
        let mut all = lock(&self.0.said);
        let before = all.remove(&addr);
        if let Some(said) = said {
            all.insert(addr, said);
        }
        if before != said {
            self.0.changes.send_modify(|count| *count += 1);
        }
    }

    /// What is said over there is heard here too.
    fn hear_also(&self, other: &Self) {
        for (addr, said) in lock(&other.0.said).clone() {
            self.say(addr, Some(said));
        }
    }

    fn device(&self) -> Node {
        Node::on(|addr| {
            let segment = self.clone();
            Arc::new(Ear { segment, addr })
        })
    }
}

#[derive(Debug)]
struct Ear {
    segment: Segment,
    addr: SocketAddr,
}

impl Lan for Ear {
    fn announce(&self, said: Option<Announcement>) {
        self.segment.say(self.addr, said);
    }

    fn refresh(&self) {}

    fn found(&self) -> Vec<Found> {
        let all = lock(&self.segment.0.said);
        let others = all.iter().filter(|(addr, _)| **addr != self.addr);
        let found = others.map(|(addr, said)| Found {
            id: NodeId::of_public_key(&said.key),
            addr: *addr,
            swarm: said.swarm,
            site: said.site,
            first_seen: std::time::Instant::now(),
        });
        found.collect()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.segment.0.changes.subscribe()
    }
}

impl Node {
    fn options(&self, key: u8) -> Options {
        Options {
            secret: SiteSecret::from_bytes([key; 32]),
            managers: 5,
            labels: [("shelf".to_owned(), "2".to_owned())].into(),
            listen: self.addr,
            advertise: None,
            availability: Availability::Active,
        }
    }

    async fn up(&self, key: u8) {
        self.swarm.resume().await;
        self.swarm.up(self.options(key)).await.unwrap();
    }

    fn stage(&self) -> Stage {
        self.swarm.progress().borrow().stage
    }

    fn cluster(&self) -> Option<ClusterId> {
        match self.swarm.phase() {
            Phase::Active(membership) => Some(membership.credentials.cluster_id()),
            _ => None,
        }
    }

    async fn join_by_discovery(&self, token: String) -> Result<String, SwarmError> {
        let options = JoinOptions {
            listen: self.addr,
            remotes: Vec::new(),
            token: token.parse().unwrap(),
            advertise: None,
            data_addr: None,
            availability: Availability::Active,
        };
        let through = self.swarm.join(options).await?;
        Ok(through.unwrap().addr.to_string())
    }
}

fn one_swarm(devices: &[Node]) -> bool {
    let clusters: Vec<_> = devices.iter().map(Node::cluster).collect();
    clusters[0].is_some() && clusters.iter().all(|cluster| *cluster == clusters[0])
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_that_are_given_one_key_form_one_swarm() {
    let lan = Segment::new();
    let devices: Vec<Node> = (0..4).map(|_| lan.device()).collect();
    futures::future::join_all(devices.iter().map(|device| device.up(1))).await;
    until("all are in one swarm", || one_swarm(&devices)).await;
    let of = |stage| {
        devices
            .iter()
            .filter(|device| device.stage() == stage)
            .collect::<Vec<_>>()
    };
    until("all say so", || of(Stage::Joined).len() == 3).await;
    let founders = of(Stage::Founded);
    assert_eq!(founders.len(), 1);
    let founder = founders[0];
    until("all are nodes", || {
        founder.state(|state| state.nodes().len()) == 4
    })
    .await;
    founder.state(|state| {
        assert_eq!(state.cluster().unwrap().spec.labels[MANAGERS], "5");
        for node in state.nodes() {
            assert_eq!(node.spec.labels[CANDIDATE], "true");
            assert_eq!(node.spec.labels["shelf"], "2");
        }
    });

    let late = lan.device();
    late.up(1).await;
    until("it is in the same swarm", || {
        late.cluster() == founder.cluster()
    })
    .await;
    assert!(late.swarm.0.data.pending().unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_with_another_key_are_another_site() {
    let lan = Segment::new();
    let (ours, theirs) = ([lan.device(), lan.device()], [lan.device(), lan.device()]);
    for (our, their) in ours.iter().zip(&theirs) {
        tokio::join!(our.up(1), their.up(2));
    }
    until("both sites have a swarm", || {
        one_swarm(&ours) && one_swarm(&theirs)
    })
    .await;
    assert_ne!(ours[0].cluster(), theirs[0].cluster());
}

#[tokio::test(flavor = "multi_thread")]
async fn between_two_swarms_of_its_site_a_device_does_not_choose() {
    let (here, there) = (Segment::new(), Segment::new());
    let ours = [here.device(), here.device()];
    let theirs = [there.device(), there.device()];
    for (our, their) in ours.iter().zip(&theirs) {
        tokio::join!(our.up(1), their.up(1));
    }
    until("both halves have a swarm", || {
        one_swarm(&ours) && one_swarm(&theirs)
    })
    .await;
    here.hear_also(&there);
    let late = here.device();
    late.up(1).await;
    until("it sees both", || late.stage() == Stage::Conflict).await;
    let message = late.swarm.progress().borrow().message.clone();
    assert!(message.contains("two swarms of this site"), "{message}");
    assert!(matches!(late.swarm.phase(), Phase::Waiting(_)));
    assert!(one_swarm(&ours) && one_swarm(&theirs));
    assert_ne!(ours[0].cluster(), theirs[0].cluster());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_waits_goes_on_after_a_restart_until_it_is_told_to_leave() {
    let mut device = Segment::new().device();
    device.up(1).await;
    let file = device.dir.path().join("up.json");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "the secret is nobody else's");
    device.restart().await;
    assert!(matches!(device.swarm.phase(), Phase::Waiting(_)));
    device.swarm.up(device.options(1)).await.unwrap();
    let refused = device.swarm.up(device.options(2)).await.unwrap_err();
    assert!(matches!(refused, SwarmError::Waiting), "{refused}");
    let token = "SWMTKN-1-2qwti3sr59m1w0mf8zr6zpn155988qgyvar1eucudl99djcclo-\
                 b2t7gl431ye0qv0kiov47kadp";
    let refused = device.join_by_discovery(token.into()).await.unwrap_err();
    assert!(matches!(refused, SwarmError::Waiting), "{refused}");
    device.swarm.leave(false).await.unwrap();
    assert!(matches!(device.swarm.phase(), Phase::Inactive));
    device.restart().await;
    assert!(matches!(device.swarm.phase(), Phase::Inactive));
    assert!(!file.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_founder_left_that_was_cut_off_is_not_taken_for_a_swarm() {
    let mut device = Segment::new().device();
    device.swarm.resume().await;
    let founding = crate::site::file::Pending::new(&device.options(1), true);
    device
        .swarm
        .init(InitOptions {
            listen: device.addr,
            advertise: None,
            data_addr: None,
            availability: Availability::Active,
            spec: ClusterSpec::default(),
            unlock_key: None,
        })
        .await
        .unwrap();
    device.swarm.0.data.save_pending(&founding).unwrap();
    device.restart().await;
    assert!(matches!(device.swarm.phase(), Phase::Waiting(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_finds_its_swarm() {
    let lan = Segment::new();
    let [founder, other] = [lan.device(), lan.device()];
    for device in [&founder, &other] {
        device.swarm.resume().await;
        let options = InitOptions {
            listen: device.addr,
            advertise: None,
            data_addr: None,
            availability: Availability::Active,
            spec: ClusterSpec::default(),
            unlock_key: None,
        };
        device.swarm.init(options).await.unwrap();
    }
    let device = lan.device();
    device.swarm.resume().await;
    let began = Instant::now();
    let through = device.join_by_discovery(founder.token(Role::Worker)).await;
    assert_eq!(through.unwrap(), founder.addr.to_string());
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(device.cluster(), founder.cluster());

    let stranger = lan.device();
    stranger.swarm.resume().await;
    let alone = Node::founder(ClusterSpec::default()).await;
    let refused = stranger.join_by_discovery(alone.token(Role::Worker)).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("2 other swarms"), "{refused}");
}
