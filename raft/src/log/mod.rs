//! The log on disk: openraft's storage over segments and a writing thread.
//!
//! `format` is the bytes of a segment, `index` knows which entries there are,
//! `segment` reads them, `writer` is the thread that writes them. The store
//! here joins these and keeps in memory what must be answered at once.

pub(crate) mod disk;
#[cfg(test)]
pub(crate) mod faulty;
mod format;
mod index;
pub(crate) mod lock;
mod segment;
mod store;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use store::{LogStore, SEGMENT_BYTES, Settings};
