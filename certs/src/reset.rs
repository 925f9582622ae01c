//! Stateless resets (RFC 9000 10.3) that outlive the process.
//!
//! A node that was killed and is back knows nothing of its old connections, and
//! its peers wait on them until they time out. It can end them with the first
//! packet that still comes on one, if it makes its reset tokens from its key.

use std::{fmt, sync::Arc, time::Duration};

use aws_lc_rs::{hmac, rand};
use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig};

use crate::{error::Error, key::NodeKey};

const CONTEXT: &[u8] = b"swarmlet quic stateless reset 1";
const ID_BYTES: usize = 8;

impl NodeKey {
    /// For every endpoint of this node that peers connect to.
    ///
    /// # Errors
    /// The key cannot be exported.
    pub fn endpoint_config(&self) -> Result<EndpointConfig, Error> {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &self.to_pkcs8_der()?);
        let reset_key = hmac::sign(&secret, CONTEXT);
        let reset_key = hmac::Key::new(hmac::HMAC_SHA256, reset_key.as_ref());
        let mut config = EndpointConfig::new(Arc::new(reset_key));
        config.cid_generator(|| Box::new(RandomIds));
        Ok(config)
    }
}

/// quinn's own ids are marked with a key of the process, and a packet for an id
/// of another process is dropped without a reset.
struct RandomIds;

impl fmt::Debug for RandomIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RandomIds")
    }
}

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; ID_BYTES];
        // Without randomness no handshake gets this far.
        let _ = rand::fill(&mut id);
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
