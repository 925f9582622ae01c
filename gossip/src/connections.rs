//! How many connections gossip keeps, and for how long. The driver holds to it,
//! and whoever simulates the driver.

use std::time::Duration;

/// A connection that nobody has used for so long is closed.
pub const IDLE: Duration = Duration::from_secs(15);
/// The same while there are more than [`MANY`].
pub const IDLE_IF_MANY: Duration = Duration::from_secs(4);
pub const MANY: usize = 48;
/// With more than this, the one that was used longest ago makes room: a new one
/// that is refused would lose what it is for.
pub const MOST: usize = 56;
