//! The way to a node from any manager: over the session that the node keeps
//! with this one, or by way of the manager that it keeps one with. So it works
//! where the node itself can be dialled by nobody.

use std::io;

use certs::NodeId;
use quinn::{Connection, SendStream};

use super::Manager;
use crate::control::frame;
use crate::control::message::Open;

const CHUNK: usize = 64 << 10;

impl Manager {
    /// The connection over which `node` is asked: its own, or that of a manager
    /// which passes on what is asked ([`Self::pass_on`]).
    pub async fn way_to(&self, node: NodeId) -> io::Result<Connection> {
        if let Some(connection) = self.hub.connection(node) {
            return Ok(connection);
        }
        let unreachable = || io::Error::other("its node is not connected to any manager");
        let via = self.observer.via(node);
        let via = via.filter(|via| *via != self.me).ok_or_else(unreachable)?;
        let addr = self.address_of(via).ok_or_else(unreachable)?;
        self.control.node(via, addr).await
    }

    /// The session-holding manager's part: the node's answer, as it comes. Its
    /// first frame is a `Result`, whose `Err` says why there is none.
    pub async fn pass_on(&self, node: NodeId, open: Open, mut out: SendStream) -> io::Result<()> {
        let Some(connection) = self.hub.connection(node) else {
            let refused = Err("its node is not connected to this manager any more".to_string());
            frame::send::<Result<(), String>>(&mut out, &refused).await?;
            return out.finish().map_err(io::Error::other);
        };
        let (mut to, mut from) = connection.open_bi().await?;
        frame::send(&mut to, &open).await?;
        // Where the reader leaves, writing fails, and with `from` the node's end too.
        while let Some(chunk) = from.read_chunk(CHUNK, true).await? {
            out.write_chunk(chunk.bytes).await?;
        }
        out.finish().map_err(io::Error::other)
    }
}
