//! Every manager tells the leader what its own sessions report. The leader
//! does the same with itself, without a network between.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use certs::NodeId;
use quinn::RecvStream;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Manager;
use crate::clock;
use crate::control::frame;
use crate::control::message::{Open, Relayed};
use crate::session::BEAT;

/// Runs until it is dropped.
pub async fn run(manager: Arc<Manager>) {
    let mut status = manager.raft.watch();
    loop {
        let leader = manager.leader();
        let told = async {
            match leader {
                Some((id, _)) if id == manager.me => tell_myself(&manager).await,
                Some((id, addr)) => tell(&manager, id, addr).await,
                None => std::future::pending().await,
            }
        };
        let another = async {
            let other = |status: &raft::Status| status.leader != leader.map(|(id, _)| id);
            status.wait_for(other).await.map(drop)
        };
        tokio::select! {
            told = told => {
                if let Err(error) = told {
                    tracing::debug!(%error, "cannot reach the leader");
                }
                sleep(BEAT).await;
            }
            // Another leader, or none: whom to tell is asked again.
            _ = another => {}
        }
    }
}

async fn tell(manager: &Manager, leader: NodeId, addr: SocketAddr) -> io::Result<()> {
    let connection = manager.control.node(leader, addr).await?;
    let (mut out, mut back) = connection.open_bi().await?;
    frame::send(&mut out, &Open::Relay).await?;
    manager.hub.tell_all();
    let push = async {
        let mut beat = pace();
        let mut as_of = 0;
        loop {
            let untold = manager.hub.take_untold();
            let applied = manager.raft.watch().borrow().applied;
            if std::mem::replace(&mut as_of, applied) != applied {
                frame::send(&mut out, &Relayed::AsOf(applied)).await?;
            }
            for relayed in untold {
                frame::send(&mut out, &relayed).await?;
            }
            tokio::select! {
                () = manager.hub.news.notified() => {}
                _ = beat.tick() => {}
            }
        }
    };
    tokio::select! {
        pushed = push => pushed,
        // The leader says nothing; its end of the stream ends with its term.
        _ = back.read_to_end(1) => Err(io::Error::other("it leads no more")),
    }
}

async fn tell_myself(manager: &Manager) -> io::Result<()> {
    manager.hub.tell_all();
    let mut beat = pace();
    loop {
        for relayed in manager.hub.take_untold() {
            accept(manager, manager.me, relayed);
        }
        tokio::select! {
            () = manager.hub.news.notified() => {}
            _ = beat.tick() => {}
        }
    }
}

/// The leader's end.
pub async fn serve(manager: &Manager, via: NodeId, mut from: RecvStream) -> io::Result<()> {
    let mut status = manager.raft.watch();
    let me = manager.me;
    let term = status.borrow().term;
    let listen = async {
        manager.observer.in_office(term).await;
        let mut here = manager.raft.watch();
        while let Some(relayed) = frame::recv::<Relayed>(&mut from).await? {
            match relayed {
                // The follower may have applied an assignment, and heard how the
                // task failed, before this leader has applied it: what is said
                // of a task that is not known would be lost.
                Relayed::AsOf(applied) => {
                    let _ = here.wait_for(|status| status.applied >= applied).await;
                }
                relayed => accept(manager, via, relayed),
            }
        }
        Ok(())
    };
    let deposed = async {
        status
            .wait_for(|status| status.leader != Some(me) || status.term != term)
            .await
            .map(drop)
    };
    tokio::select! {
        ended = listen => ended,
        _ = deposed => Ok(()),
    }
}

fn accept(manager: &Manager, via: NodeId, relayed: Relayed) {
    manager.read_state(|state| {
        manager
            .observer
            .accept(via, relayed, state, clock::moment())
    });
}

fn pace() -> tokio::time::Interval {
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat
}
