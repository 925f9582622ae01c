//! What packets may do, as an nftables table: a [`Table`] becomes a
//! [`Ruleset`], and a ruleset becomes text, the whole or the difference to the
//! one before. Either text is one transaction, so there is no moment between.
//!
//! A container's packet meets three questions. Is its source its own, and may
//! it go there (`prerouting`, before any translation)? Is it for a VIP or a
//! published port (`dstnat`: a map from address or port to a chain that picks a
//! backend)? May it pass (`forward`)? Only the chains of VIPs and ports, and
//! the elements of maps and sets, change while the node runs.
//!
//! The text is for `nft` 1.0.6 and later; kernels from 5.6 on know all of it.

mod chains;
mod elements;
mod ruleset;
mod targets;

pub use ruleset::{Chain, Ruleset, Set};

use crate::names::Names;
use crate::table::Table;

/// All rules and elements that `table` asks for.
pub fn ruleset(names: &Names, table: &Table) -> Ruleset {
    let mut rules = Ruleset::new(&names.table);
    chains::add(&mut rules, names, table);
    elements::add(&mut rules, table);
    targets::add(&mut rules, table);
    rules
}

#[cfg(test)]
mod tests;
