//! What is answered: a question, who asks, and the [`Zone`] say it all.
//!
//! What a container may not know does not exist for it: a name of a network that
//! it is not on goes the way of any unknown name, to the servers outside. What it
//! may know is never asked there, whatever the type.

use std::collections::BTreeSet;
use std::net::IpAddr;

use hickory_proto::op::{Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};

use super::resolv::Upstream;
use super::wire::{Request, Unfit};
use super::zone::{Asker, Found, Reverse, Zone};

/// Seconds. Docker says 600 for everything. A VIP stays as long as its service.
pub const VIP_TTL: u32 = 30;
/// Seconds. To ask again costs microseconds, to connect to a task that is gone
/// a timeout.
pub const TASK_TTL: u32 = 1;

/// What the name stands for, as far as the asker may know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<'a> {
    /// At least one, in the order in which to try them; seconds.
    Addresses(Vec<IpAddr>, u32),
    Name(Name),
    /// The name is ours and has nothing of the wanted type (NODATA, RFC 2308).
    Nothing,
    /// It would be ours, and there is none (NXDOMAIN).
    NoSuchName,
    Refused,
    /// It is not ours: these may know. Never [`Upstream::Nobody`].
    Elsewhere(&'a Upstream),
}

/// How the question came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
}

/// What to do about a message.
#[derive(Debug)]
pub enum Reaction {
    /// It is not even a question.
    Drop,
    Reply(Vec<u8>),
    Ask(Box<Request>, Upstream),
}

/// Decides about a `message` that came from the address `from`. Of several
/// addresses, `chance` says which come first. Whatever the bytes, a reply is
/// at most as long as the asker takes on that transport.
pub fn react(
    zone: &Zone,
    from: IpAddr,
    message: &[u8],
    transport: Transport,
    chance: u64,
) -> Reaction {
    let request = match Request::parse(message, transport) {
        Ok(request) => request,
        Err(Unfit::Drop) => return Reaction::Drop,
        Err(Unfit::Reply(reply)) => return Reaction::Reply(reply),
    };
    match answer(zone, from, request.question(), chance) {
        Answer::Addresses(addrs, ttl) => Reaction::Reply(request.addresses(&addrs, ttl)),
        Answer::Name(name) => Reaction::Reply(request.pointer(&name, VIP_TTL)),
        Answer::Nothing => Reaction::Reply(request.own(ResponseCode::NoError)),
        Answer::NoSuchName => Reaction::Reply(request.own(ResponseCode::NXDomain)),
        Answer::Refused => Reaction::Reply(request.failure(ResponseCode::Refused)),
        Answer::Elsewhere(upstream) => Reaction::Ask(Box::new(request), upstream.clone()),
    }
}

/// What the container with the address `from` is told.
pub fn answer<'a>(zone: &'a Zone, from: IpAddr, question: &Query, chance: u64) -> Answer<'a> {
    let transfer = matches!(question.query_type, RecordType::AXFR | RecordType::IXFR);
    let Some(asker) = zone.asker(from) else {
        return Answer::Refused;
    };
    if question.query_class != DNSClass::IN || transfer {
        return Answer::Refused;
    }
    if let Some(addr) = address_of(&question.name) {
        return reverse(asker, addr, question.query_type);
    }
    let mut name = question.name.to_ascii();
    name.make_ascii_lowercase();
    let wanted = question.query_type;
    match asker.find(name.strip_suffix('.').unwrap_or(&name)) {
        Some(Found::Services(named)) => addresses(&named.vips, &named.direct, wanted, chance),
        Some(Found::Tasks(tasks)) => addresses(&BTreeSet::new(), tasks, wanted, chance),
        Some(Found::Gone) => Answer::NoSuchName,
        None => elsewhere(asker),
    }
}

fn elsewhere(asker: &Asker) -> Answer<'_> {
    match &asker.upstream {
        Upstream::Nobody => Answer::Refused,
        upstream => Answer::Elsewhere(upstream),
    }
}

fn reverse(asker: &Asker, addr: IpAddr, wanted: RecordType) -> Answer<'_> {
    match asker.reverse(addr) {
        Reverse::Named(name) if matches!(wanted, RecordType::PTR | RecordType::ANY) => {
            Answer::Name(name)
        }
        Reverse::Named(_) => Answer::Nothing,
        Reverse::Free => Answer::NoSuchName,
        Reverse::Foreign => elsewhere(asker),
    }
}

fn addresses(
    vips: &BTreeSet<IpAddr>,
    tasks: &BTreeSet<IpAddr>,
    wanted: RecordType,
    chance: u64,
) -> Answer<'static> {
    let fits = |addr: &&IpAddr| match wanted {
        RecordType::A => addr.is_ipv4(),
        RecordType::AAAA => addr.is_ipv6(),
        RecordType::ANY => true,
        _ => false,
    };
    let mut addrs: Vec<IpAddr> = vips.iter().chain(tasks).filter(fits).copied().collect();
    if addrs.is_empty() {
        return Answer::Nothing;
    }
    shuffle(&mut addrs, chance);
    let ttl = if tasks.is_empty() { VIP_TTL } else { TASK_TTL };
    Answer::Addresses(addrs, ttl)
}

/// Fisher and Yates', with the generator SplitMix64.
fn shuffle<T>(items: &mut [T], chance: u64) {
    let mut state = chance;
    for last in (1..items.len()).rev() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        items.swap(last, (word % (last as u64 + 1)) as usize);
    }
}

/// The whole address whose reverse name (RFC 1035, 3.5; RFC 3596, 2.5) this is.
fn address_of(name: &Name) -> Option<IpAddr> {
    let net = name.parse_arpa_name().ok()?;
    (net.prefix_len() == net.max_prefix_len()).then(|| net.addr())
}
