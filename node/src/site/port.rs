//! The control port of a device that is in no swarm: it answers others of its
//! site, tells anyone its name, and does nothing else.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, Endpoint, Incoming};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::form::Forming;
use super::proof;
use crate::control::{ALPN_JOIN, frame, port};
use crate::join::{About, Answer, MAX_REQUEST, Request};

/// Connections at once; more are refused.
const MAX_CONNECTIONS: usize = 128;
/// For a stranger's handshake and first frame.
const FIRST_WITHIN: Duration = Duration::from_secs(5);

pub struct Port {
    endpoint: Endpoint,
    tasks: TaskTracker,
}

impl Port {
    /// Listens on `listen` with a certificate that means nothing.
    pub async fn open(listen: SocketAddr, forming: Arc<Forming>) -> io::Result<Self> {
        let mut server =
            certs::stranger_server_config(forming.key(), &[ALPN_JOIN]).map_err(io::Error::other)?;
        let mut transport = port::transport();
        transport
            .max_concurrent_bidi_streams(1u32.into())
            .receive_window(port::STRANGER)
            .stream_receive_window(port::STRANGER);
        server.transport_config(Arc::new(transport));
        let config = forming.key().endpoint_config();
        let config = config.map_err(io::Error::other)?;
        let endpoint = port::listen(config, server, listen).await?;
        let tasks = TaskTracker::new();
        tasks.spawn(accept(endpoint.clone(), forming));
        Ok(Self { endpoint, tasks })
    }

    pub fn number(&self) -> io::Result<u16> {
        Ok(self.endpoint.local_addr()?.port())
    }

    pub async fn close(self) {
        port::close(&self.endpoint).await;
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn accept(endpoint: Endpoint, forming: Arc<Forming>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Some(incoming) = endpoint.accept().await {
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            incoming.refuse();
            continue;
        };
        let forming = Arc::clone(&forming);
        tokio::spawn(async move {
            if let Err(error) = serve(&forming, incoming).await {
                tracing::debug!(%error, "a device that asked broke off");
            }
            drop(place);
        });
    }
}

async fn serve(forming: &Forming, incoming: Incoming) -> io::Result<()> {
    let first = async {
        let connection = incoming.await?;
        let (out, mut from) = connection.accept_bi().await?;
        let request = frame::recv_at_most::<Request>(&mut from, MAX_REQUEST).await?;
        io::Result::Ok((connection, out, from, request))
    };
    let (connection, mut out, from, request) = timeout(FIRST_WITHIN, first)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let answer = match request {
        None => return Ok(()),
        Some(Request::Site { proof }) => {
            proof::serve(forming, &connection, &proof, (out, from)).await?;
            return heard(&connection).await;
        }
        Some(Request::About) => Answer::About(About::me(None)),
        Some(Request::Join { .. } | Request::Renew { .. }) => Answer::Refused {
            reason: "this device is in no swarm yet".into(),
        },
    };
    frame::send(&mut out, &answer).await?;
    out.finish().map_err(io::Error::other)?;
    heard(&connection).await
}

/// The peer closes; until then the answer may still be on its way.
async fn heard(connection: &Connection) -> io::Result<()> {
    let _ = timeout(FIRST_WITHIN, connection.closed()).await;
    Ok(())
}
