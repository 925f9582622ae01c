//! Logs as they come over the API, and as they are shown.

mod demux;
mod line;

pub use demux::{Demux, Frame, Malformed, Stream};
pub use line::{LogLine, Origin, prefix};
