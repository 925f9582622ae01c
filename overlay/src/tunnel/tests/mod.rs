//! What leaves one TUN device reaches the other, whatever it is; and bytes that
//! nobody should send do no harm.

mod fuzz;
mod offload;
pub mod packets;
