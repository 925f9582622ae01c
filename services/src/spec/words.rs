//! What the values of specs are called: by users, in the API and in Compose
//! files.

use std::str::FromStr;

use super::{
    Availability, EndpointMode, FailureAction, MountKind, Protocol, PublishMode, RestartCondition,
    Role, UpdateOrder,
};
use crate::text::Invalid;

/// Each word once, for both ways.
macro_rules! words {
    ($($kind:ident: $($word:literal is $value:ident),+;)+) => {$(
        impl $kind {
            pub const WORDS: &[&str] = &[$($word),+];

            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $word),+
                }
            }
        }

        impl FromStr for $kind {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                match text {
                    $($word => Ok(Self::$value),)+
                    _ => Err(none_of(text, Self::WORDS)),
                }
            }
        }
    )+};
}

words! {
    Role: "worker" is Worker, "manager" is Manager;
    Availability: "active" is Active, "pause" is Pause, "drain" is Drain;
    MountKind: "volume" is Volume, "bind" is Bind, "tmpfs" is Tmpfs;
    RestartCondition: "none" is None, "on-failure" is OnFailure, "any" is Any;
    FailureAction: "pause" is Pause, "continue" is Continue, "rollback" is Rollback;
    UpdateOrder: "stop-first" is StopFirst, "start-first" is StartFirst;
    EndpointMode: "vip" is Vip, "dnsrr" is Dnsrr;
    Protocol: "tcp" is Tcp, "udp" is Udp, "sctp" is Sctp;
    PublishMode: "ingress" is Ingress, "host" is Host;
}

fn none_of(text: &str, words: &[&str]) -> Invalid {
    Invalid::new(format!("{text:?} is none of {}", words.join(", ")))
}
