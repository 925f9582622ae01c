//! The replicated state machine: `services::State` behind Raft's bytes.

use std::io;

use raft::StateMachine;
use services::happened::Happened;
use services::{Refusal, RefusalKind, State, codec};

use super::recent::Recent;

#[derive(Debug, Default)]
pub struct Machine {
    pub state: State,
    /// What the last commands did; not a part of the state.
    pub happened: Recent<Happened>,
    /// How often the state may have changed; not a part of it.
    pub changes: u64,
}

impl StateMachine for Machine {
    fn apply(&mut self, index: u64, command: &[u8]) -> Vec<u8> {
        self.changes += 1;
        let applied = match codec::decode_proposal(command) {
            Ok(proposal) => self.state.apply_and_tell(index, &proposal),
            // Every manager of this release fails alike, so they stay equal.
            Err(error) => Err(Refusal {
                kind: RefusalKind::Unknown,
                message: format!("the command cannot be read: {error}"),
            }),
        };
        let answer = applied.map(|(answer, told)| {
            told.into_iter().for_each(|it| self.happened.add(it));
            answer
        });
        codec::encode_answer(&answer).unwrap_or_default()
    }

    fn freeze(&self) -> Box<dyn FnOnce(&mut dyn io::Write) -> io::Result<()> + Send> {
        let state = self.state.clone();
        Box::new(move |out| codec::write_snapshot(&state, out).map_err(io::Error::other))
    }

    fn restore(&mut self, snapshot: &mut dyn io::Read) -> io::Result<()> {
        self.changes += 1;
        self.state = codec::read_snapshot(snapshot).map_err(io::Error::other)?;
        Ok(())
    }
}
