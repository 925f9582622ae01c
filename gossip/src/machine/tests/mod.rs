//! Small swarms in virtual time: claims about what members come to believe.

mod comparing;
pub(crate) mod kit;
mod refusals;
mod swarms;
