//! Messages (RFC 1035, EDNS by RFC 6891): what is taken, and how replies look.
//!
//! Of a query only the question, its flags and what EDNS says of the asker are
//! kept. What goes to other servers is written anew from those, so nothing else
//! that a container puts into a message leaves the host.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::PTR;
use hickory_proto::rr::{Name, RData, Record};

use super::answer::Transport;

const HEADER: usize = 12;
/// A root name, type, class, TTL and length of an OPT record without options.
const OPT: usize = 11;
/// A pointer to the name of the question, type, class, TTL and length.
const RECORD: usize = 12;
/// What we take and give by UDP at most: what passes without fragments anywhere
/// (DNS flag day 2020).
const MAX_DATAGRAM: u16 = 1232;
/// What any asker takes by UDP.
const MIN_DATAGRAM: u16 = 512;
/// Of our own replies by TCP: a thousand addresses.
const MAX_STREAM: usize = 16 * 1024;

/// One question, and how its reply must look.
#[derive(Debug)]
pub struct Request {
    transport: Transport,
    metadata: Metadata,
    query: Query,
    /// What the asker takes by UDP, and whether it wants DNSSEC's records.
    edns: Option<(u16, bool)>,
}

/// Why a message is not a [`Request`].
#[derive(Debug)]
pub(super) enum Unfit {
    /// Not even a question: a reply could only do harm.
    Drop,
    Reply(Vec<u8>),
}

impl Request {
    pub(super) fn parse(bytes: &[u8], transport: Transport) -> Result<Self, Unfit> {
        let header = Header::read(bytes).ok_or(Unfit::Drop)?;
        if header.is_response() {
            return Err(Unfit::Drop);
        }
        if header.op_code() != u8::from(OpCode::Query) {
            return Err(Unfit::Reply(header.error(ResponseCode::NotImp)));
        }
        // One question (RFC 9619), and at most OPT and a signature after it.
        if header.counts[0] != 1 || header.counts[1..3] != [0, 0] || header.counts[3] > 2 {
            return Err(Unfit::Reply(header.error(ResponseCode::FormErr)));
        }
        let mut message = Message::from_vec(bytes).map_err(|_| Unfit::Drop)?;
        let query = message.queries.pop().ok_or(Unfit::Drop)?;
        let request = Self {
            transport,
            metadata: message.metadata,
            query,
            edns: message.edns.as_ref().map(|edns| {
                let takes = edns.max_payload().clamp(MIN_DATAGRAM, MAX_DATAGRAM);
                (takes, edns.flags().dnssec_ok)
            }),
        };
        match message.edns.is_some_and(|edns| edns.version() > 0) {
            true => Err(Unfit::Reply(request.failure(ResponseCode::BADVERS))),
            false => Ok(request),
        }
    }

    pub fn question(&self) -> &Query {
        &self.query
    }

    pub(super) fn transport(&self) -> Transport {
        self.transport
    }

    /// As many of `addrs` as fit; if by UDP they are not all, the reply says so
    /// and the asker may come by TCP.
    pub(super) fn addresses(&self, addrs: &[IpAddr], ttl: u32) -> Vec<u8> {
        let mut message = self.response(ResponseCode::NoError);
        let mut room = self
            .room()
            .saturating_sub(HEADER + self.question_len() + OPT);
        message.metadata.authoritative = true;
        for addr in addrs {
            let size = RECORD + if addr.is_ipv4() { 4 } else { 16 };
            let Some(rest) = room.checked_sub(size) else {
                message.metadata.truncation = self.transport == Transport::Udp;
                break;
            };
            room = rest;
            let record = Record::from_rdata(self.query.name.clone(), ttl, RData::from(*addr));
            message.answers.push(record);
        }
        encode(&message)
    }

    pub(super) fn pointer(&self, name: &Name, ttl: u32) -> Vec<u8> {
        let mut message = self.response(ResponseCode::NoError);
        message.metadata.authoritative = true;
        let data = RData::PTR(PTR(name.clone()));
        let record = Record::from_rdata(self.query.name.clone(), ttl, data);
        message.answers.push(record);
        encode(&message)
    }

    /// An answer without records to a question about a name of ours. There is no
    /// SOA record in it, so that nobody remembers it (RFC 2308, 5).
    pub(super) fn own(&self, code: ResponseCode) -> Vec<u8> {
        let mut message = self.response(code);
        message.metadata.authoritative = true;
        encode(&message)
    }

    pub(super) fn failure(&self, code: ResponseCode) -> Vec<u8> {
        encode(&self.response(code))
    }

    pub(super) fn overloaded(&self) -> Vec<u8> {
        self.failure(ResponseCode::ServFail)
    }

    /// The question as we put it to another server.
    pub(super) fn forwarded(&self, id: u16) -> Vec<u8> {
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = self.metadata.recursion_desired;
        message.metadata.checking_disabled = self.metadata.checking_disabled;
        message.metadata.authentic_data = self.metadata.authentic_data;
        message.add_query(self.query.clone());
        message.edns = self.edns();
        encode(&message)
    }

    /// Whether `reply` is one to `asked`, which went to that server.
    pub(super) fn is_reply(asked: &[u8], reply: &[u8]) -> bool {
        let (Some(ours), Some(header)) = (Header::read(asked), Header::read(reply)) else {
            return false;
        };
        let Some((name, rest)) = question(asked) else {
            return false;
        };
        let fits = |theirs: (&[u8], &[u8])| theirs.0.eq_ignore_ascii_case(name) && theirs.1 == rest;
        header.is_response()
            && header.op_code() == ours.op_code()
            && header.id == ours.id
            && header.counts[0] == 1
            && question(reply).is_some_and(fits)
    }

    /// Whether another server may know better than the one that replied this.
    pub(super) fn is_failure(reply: &[u8]) -> bool {
        Header::read(reply).is_none_or(|header| {
            let code = ResponseCode::from(0, (header.flags & 0xf) as u8);
            !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain)
        })
    }

    /// The `reply` of another server to `asked`, as the asker gets it: with its
    /// own id, and the case of letters that it chose.
    pub(super) fn relayed(&self, asked: &[u8], mut reply: Vec<u8>) -> Vec<u8> {
        if !Self::is_reply(asked, &reply) {
            return self.failure(ResponseCode::ServFail);
        }
        if reply.len() > self.takes() {
            let mut message = self.response(ResponseCode::NoError);
            message.metadata.truncation = true;
            return encode(&message);
        }
        if let Some((name, _)) = question(asked) {
            reply[HEADER..HEADER + name.len()].copy_from_slice(name);
        }
        reply[..2].copy_from_slice(&self.metadata.id.to_be_bytes());
        reply
    }

    fn response(&self, code: ResponseCode) -> Message {
        let mut message = Message::response(self.metadata.id, OpCode::Query);
        message.metadata = Metadata::response_from_request(&self.metadata);
        message.metadata.recursion_available = true;
        message.metadata.response_code = code;
        message.add_query(self.query.clone());
        message.edns = self.edns();
        message
    }

    fn edns(&self) -> Option<Edns> {
        let (takes, dnssec_ok) = self.edns?;
        let mut edns = Edns::new();
        edns.set_max_payload(takes);
        edns.set_dnssec_ok(dnssec_ok);
        Some(edns)
    }

    /// Bytes of the longest reply that the asker takes.
    fn takes(&self) -> usize {
        match self.transport {
            Transport::Udp => usize::from(self.edns.map_or(MIN_DATAGRAM, |(takes, _)| takes)),
            Transport::Tcp => usize::from(u16::MAX),
        }
    }

    fn room(&self) -> usize {
        self.takes().min(MAX_STREAM)
    }

    fn question_len(&self) -> usize {
        self.query.name.len() + 4
    }
}

/// The first twelve bytes.
struct Header {
    id: u16,
    flags: u16,
    /// Of questions, answers, authorities and additional records.
    counts: [u16; 4],
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let header = bytes.first_chunk::<HEADER>()?;
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        Some(Self {
            id: word(0),
            flags: word(2),
            counts: [word(4), word(6), word(8), word(10)],
        })
    }

    fn is_response(&self) -> bool {
        self.flags & 0x8000 != 0
    }

    fn op_code(&self) -> u8 {
        (self.flags >> 11) as u8 & 0xf
    }

    /// A reply to a message of which no more than the header is understood.
    fn error(&self, code: ResponseCode) -> Vec<u8> {
        encode(&Message::error_msg(
            self.id,
            OpCode::from_u8(self.op_code()),
            code,
        ))
    }
}

/// The name of the one question of a message, as it is written there, and its type
/// and class. The first name of a message has nothing to point to.
fn question(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let body = message.get(HEADER..)?;
    let mut end = 0;
    loop {
        let label = usize::from(*body.get(end)?);
        end += 1 + label;
        match label {
            0 => break,
            1..=63 => {}
            _ => return None,
        }
    }
    Some((&body[..end], body.get(end..end + 4)?))
}

/// A message of ours always can be written; if not, nothing is sent.
fn encode(message: &Message) -> Vec<u8> {
    message.to_vec().unwrap_or_default()
}
