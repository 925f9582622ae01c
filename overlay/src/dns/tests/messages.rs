use hickory_proto::op::{Edns, ResponseCode};
use hickory_proto::rr::{RData, rdata::A};
use proptest::prelude::*;

use super::super::answer::{Reaction, Transport, react};
use super::super::wire::Request;
use super::*;

fn reply(asked: &Message, transport: Transport) -> Message {
    let bytes = asked.to_vec().unwrap();
    Message::from_vec(&reply_to(&bytes, transport)).unwrap()
}

fn reply_to(bytes: &[u8], transport: Transport) -> Vec<u8> {
    match react(&zone(), ip(BOTH), bytes, transport, 0) {
        Reaction::Reply(reply) => reply,
        other => panic!("{other:?}"),
    }
}

fn code(asked: &Message) -> ResponseCode {
    reply(asked, Transport::Udp).metadata.response_code
}

fn edns(payload: u16) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(payload);
    edns
}

fn crowd_reply(tasks: u8, edns: Option<Edns>, transport: Transport) -> (usize, Message) {
    let mut asked = message(1, "db", RecordType::A);
    asked.edns = edns;
    let bytes = asked.to_vec().unwrap();
    match react(&crowd(tasks), ip(BOTH), &bytes, transport, 0) {
        Reaction::Reply(reply) => (reply.len(), Message::from_vec(&reply).unwrap()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reply_repeats_the_question_as_it_was_asked() {
    let asked = message(0x1234, "wEb.FrOnT", RecordType::A);
    let reply = reply(&asked, Transport::Udp);
    assert_eq!(reply.metadata.id, 0x1234);
    assert_eq!(reply.metadata.message_type, MessageType::Response);
    assert!(reply.metadata.authoritative && reply.metadata.recursion_available);
    assert!(reply.queries[0].name.eq_case(&asked.queries[0].name));
    assert!(reply.answers[0].name.eq_case(&asked.queries[0].name));
    assert_eq!(
        reply.answers[0].data,
        RData::A(A("127.10.1.2".parse().unwrap()))
    );
}

#[test]
fn nodata_and_nxdomain_differ() {
    assert_eq!(
        code(&message(1, "web", RecordType::TXT)),
        ResponseCode::NoError
    );
    let gone = format!("web.1.{}", "0".repeat(25));
    assert_eq!(
        code(&message(1, &gone, RecordType::A)),
        ResponseCode::NXDomain
    );
}

#[test]
fn all_tasks_fit_or_the_reply_is_marked_as_cut() {
    let (len, all) = crowd_reply(29, None, Transport::Udp);
    assert_eq!((all.answers.len(), all.metadata.truncation), (29, false));
    assert!(len <= 512);
    let (len, cut) = crowd_reply(200, None, Transport::Udp);
    assert!(cut.metadata.truncation && !cut.answers.is_empty());
    assert!(len <= 512 && len > 480, "{len}");
}

#[test]
fn an_asker_that_takes_more_gets_more_but_no_fragments() {
    let (len, reply) = crowd_reply(70, Some(edns(4096)), Transport::Udp);
    assert_eq!(
        (reply.answers.len(), reply.metadata.truncation),
        (70, false)
    );
    assert!(len <= 1232);
    let (len, reply) = crowd_reply(200, Some(edns(4096)), Transport::Udp);
    assert!(len <= 1232 && reply.metadata.truncation);
    assert_eq!(reply.edns.map(|edns| edns.max_payload()), Some(1232));
    let (len, _) = crowd_reply(200, Some(edns(1)), Transport::Udp);
    assert!(len <= 512);
}

#[test]
fn by_tcp_all_tasks_come() {
    let (_, reply) = crowd_reply(200, None, Transport::Tcp);
    assert_eq!(
        (reply.answers.len(), reply.metadata.truncation),
        (200, false)
    );
}

#[test]
fn several_questions_are_refused() {
    let mut asked = message(1, "web", RecordType::A);
    asked.add_query(question("db", RecordType::A));
    assert_eq!(code(&asked), ResponseCode::FormErr);
    asked.queries.clear();
    assert_eq!(code(&asked), ResponseCode::FormErr);
}

#[test]
fn what_is_not_a_query_is_refused() {
    let mut asked = message(1, "web", RecordType::A);
    asked.metadata.op_code = OpCode::Update;
    assert_eq!(code(&asked), ResponseCode::NotImp);
    asked.metadata.op_code = OpCode::Notify;
    assert_eq!(code(&asked), ResponseCode::NotImp);
}

#[test]
fn an_unknown_version_of_edns_is_said_to_be_bad() {
    let mut asked = message(1, "web", RecordType::A);
    let mut version = edns(1232);
    version.set_version(1);
    asked.edns = Some(version);
    assert_eq!(u16::from(code(&asked)), u16::from(ResponseCode::BADVERS));
}

#[test]
fn responses_and_garbage_are_dropped() {
    let mut response = message(1, "web", RecordType::A);
    response.metadata.message_type = MessageType::Response;
    let question = message(1, "web", RecordType::A).to_vec().unwrap();
    let cut = &question[..question.len() - 1];
    for bytes in [&response.to_vec().unwrap()[..], &[], &[0; 11], cut] {
        let reaction = react(&zone(), ip(BOTH), bytes, Transport::Udp, 0);
        assert!(matches!(reaction, Reaction::Drop), "{bytes:?}");
    }
}

fn forwarded(asked: &Message) -> (Request, Vec<u8>) {
    let bytes = asked.to_vec().unwrap();
    match react(&zone(), ip(PLAIN), &bytes, Transport::Udp, 0) {
        Reaction::Ask(request, _) => {
            let forwarded = request.forwarded(0x4242);
            (*request, forwarded)
        }
        other => panic!("{other:?}"),
    }
}

/// What another server says to `forwarded`.
fn elsewhere(forwarded: &[u8], change: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut reply = Message::from_vec(forwarded).unwrap().into_response();
    change(&mut reply);
    reply.to_vec().unwrap()
}

#[test]
fn only_the_question_goes_to_other_servers() {
    let mut asked = message(7, "eXample.org", RecordType::MX);
    let mut with_cookie = edns(4096);
    with_cookie.set_dnssec_ok(true);
    with_cookie
        .options_mut()
        .insert(hickory_proto::rr::rdata::opt::EdnsOption::Unknown(
            10,
            vec![1; 8],
        ));
    asked.edns = Some(with_cookie);
    let (_, bytes) = forwarded(&asked);
    let sent = Message::from_vec(&bytes).unwrap();
    assert_eq!(sent.metadata.id, 0x4242);
    assert!(sent.metadata.recursion_desired);
    assert!(sent.queries[0].name.eq_case(&asked.queries[0].name));
    let sent = sent.edns.unwrap();
    assert!(sent.flags().dnssec_ok && sent.options().as_ref().is_empty());
    assert_eq!(sent.max_payload(), 1232);
}

#[test]
fn a_reply_from_elsewhere_gets_the_askers_id_and_letters() {
    let (request, asked) = forwarded(&message(7, "eXample.org", RecordType::A));
    let lower = elsewhere(&asked, |reply| {
        reply.queries[0].name = reply.queries[0].name.to_lowercase();
    });
    let relayed = Message::from_vec(&request.relayed(&asked, lower)).unwrap();
    assert_eq!(relayed.metadata.id, 7);
    assert_eq!(relayed.queries[0].name.to_string(), "eXample.org.");
}

#[test]
fn a_reply_to_another_question_is_none() {
    let (request, asked) = forwarded(&message(7, "example.org", RecordType::A));
    assert!(Request::is_reply(&asked, &elsewhere(&asked, |_| ())));
    let others = [
        elsewhere(&asked, |reply| reply.metadata.id ^= 1),
        elsewhere(&asked, |reply| {
            reply.queries[0] = question("example.net", RecordType::A)
        }),
        elsewhere(&asked, |reply| {
            reply.queries[0] = question("example.org", RecordType::AAAA)
        }),
        elsewhere(&asked, |reply| reply.queries.clear()),
        elsewhere(&asked, |reply| {
            reply.metadata.message_type = MessageType::Query
        }),
        Vec::new(),
    ];
    for other in others {
        assert!(!Request::is_reply(&asked, &other));
        let relayed = Message::from_vec(&request.relayed(&asked, other)).unwrap();
        assert_eq!(relayed.metadata.response_code, ResponseCode::ServFail);
    }
}

#[test]
fn a_reply_that_is_too_long_is_cut_to_the_question() {
    let (request, asked) = forwarded(&message(7, "example.org", RecordType::TXT));
    let mut long = elsewhere(&asked, |_| ());
    long.resize(513, 0);
    let relayed = request.relayed(&asked, long);
    assert!(relayed.len() < 512);
    assert!(Message::from_vec(&relayed).unwrap().metadata.truncation);
}

proptest! {
    #[test]
    fn no_reply_is_longer_than_the_asker_takes(
        label in "[a-zA-Z0-9_]{1,40}",
        labels in 1usize..6,
        tasks in 0u8..=200,
        payload: Option<u16>,
        wanted: u16,
    ) {
        let name = ["db", "tasks.db", "db.back", "web", "x"][labels - 1];
        let name = if tasks % 5 == 0 { vec![label; labels].join(".") } else { name.to_owned() };
        let mut asked = message(1, &name, RecordType::from(wanted));
        asked.edns = payload.map(edns);
        let limit = usize::from(payload.unwrap_or(512).clamp(512, 1232));
        let bytes = asked.to_vec().unwrap();
        let reaction = react(&crowd(tasks), ip(BOTH), &bytes, Transport::Udp, 0);
        match reaction {
            Reaction::Reply(reply) => {
                prop_assert!(reply.len() <= limit);
                prop_assert!(Message::from_vec(&reply).is_ok());
            }
            Reaction::Ask(request, _) => prop_assert!(request.forwarded(1).len() <= 512),
            Reaction::Drop => prop_assume!(false),
        }
    }
}

#[test]
fn whatever_bytes_come_the_reply_is_a_bounded_message() {
    let zone = crowd(200);
    bolero::check!().for_each(|bytes: &[u8]| {
        for (transport, limit) in [(Transport::Udp, 1232), (Transport::Tcp, 16 * 1024)] {
            match react(&zone, ip(BOTH), bytes, transport, 0) {
                Reaction::Reply(reply) => {
                    assert!(reply.len() <= limit);
                    assert!(Message::from_vec(&reply).is_ok());
                }
                Reaction::Ask(request, _) => {
                    let asked = request.forwarded(1);
                    assert!(asked.len() <= 512);
                    let relayed = request.relayed(&asked, bytes.to_vec());
                    assert!(Message::from_vec(&relayed).is_ok());
                }
                Reaction::Drop => {}
            }
        }
    });
}

#[test]
fn whatever_another_server_says_the_asker_gets_its_own_id() {
    let (request, asked) = forwarded(&message(7, "example.org", RecordType::A));
    bolero::check!().for_each(|tail: &[u8]| {
        let mut said = elsewhere(&asked, |_| ());
        said.extend_from_slice(tail);
        assert!(Request::is_reply(&asked, &said));
        let relayed = request.relayed(&asked, said);
        assert_eq!(relayed[..2], [0, 7]);
        assert!(relayed.len() <= 512);
    });
}
