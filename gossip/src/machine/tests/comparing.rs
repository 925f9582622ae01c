//! How often one node of many begins a comparison.

use std::time::Duration;

use super::kit::{WALL, id_of, machine};
use crate::machine::{Effect, Event, Known, Machine};
use crate::view::Moment;
use crate::wire::{BUCKETS, Datagram, Request, Response, Summary};

const MEMBERS: u8 = 250;
const BEAT: Duration = Duration::from_millis(250);

/// One member, and the others as it sees them: they beat, and answer.
struct One {
    machine: Machine,
    now: Moment,
}

impl One {
    fn among_many() -> Self {
        let members = (1..=MEMBERS).map(|node| machine(node, Moment::ZERO, WALL));
        let mut members: Vec<Machine> = members.collect();
        members.sort_by_key(Machine::me);
        let known: Vec<Known> = members.iter().map(Machine::record).collect();
        let mut machine = machine(1, Moment::ZERO, WALL);
        machine.preload(&known);
        Self {
            machine,
            now: Moment::ZERO,
        }
    }

    /// All beat, with sums that are off by these. How many comparisons it begins.
    fn hear(&mut self, time: Duration, living: u32, root: u32) -> usize {
        let end = self.now + time;
        let mut begun = 0;
        while self.now < end {
            self.now += BEAT;
            for node in 2..=MEMBERS {
                let message = Datagram::Beat {
                    incarnation: WALL,
                    living: self.machine.roster.living() as u32 ^ living,
                    root: self.machine.roster.root() as u32 ^ root,
                };
                let from = id_of(node);
                let event = Event::Datagram { from, message };
                self.machine.handle(event, self.now);
            }
            let wall_ms = WALL + self.now.as_millis() as u64;
            self.machine.handle(Event::Tick { wall_ms }, self.now);
            begun += self.answer();
        }
        begun
    }

    /// The others have nothing to show that this one does not know.
    fn answer(&mut self) -> usize {
        let mut begun = 0;
        while let Some(effect) = self.machine.poll_effect() {
            let Effect::Request { to, id, message } = effect else {
                continue;
            };
            let message = match message {
                Request::Sync(theirs) => {
                    begun += 1;
                    Response::Sync {
                        summary: Summary {
                            head: self.machine.roster.get(to).unwrap().head.clone(),
                            you: None,
                            root: !theirs.root,
                            members: theirs.members,
                        },
                        buckets: vec![0; BUCKETS],
                    }
                }
                Request::List { .. } => Response::List {
                    entries: Vec::new(),
                },
                Request::Records { .. } => Response::Records {
                    parcels: Vec::new(),
                },
            };
            let from = to;
            let event = Event::Response { from, id, message };
            self.machine.handle(event, self.now);
        }
        begun
    }
}

const LONG: Duration = Duration::from_secs(40);
const SHORT: Duration = Duration::from_secs(8);

#[test]
fn while_all_sum_up_the_same_only_anyone_is_compared_with_now_and_then() {
    let mut one = One::among_many();
    assert!(one.hear(LONG, 0, 0) <= 2);
}

#[test]
fn news_of_little_weight_make_comparing_rare() {
    let mut one = One::among_many();
    one.hear(LONG, 0, 1);
    assert!(one.hear(SHORT, 0, 1) <= 3);
}

#[test]
fn to_differ_about_who_lives_is_looked_into_at_once_even_then() {
    let mut one = One::among_many();
    one.hear(LONG, 0, 1);
    assert!(one.hear(SHORT, 1, 1) >= 5);
}
