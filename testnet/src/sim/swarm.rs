//! The members, the letters between them, and what may happen to both.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use certs::{NodeId, Role};
use gossip::machine::{Config, Effect, Event, Known, Machine, RequestId};
use gossip::wire::{self, Datagram, Request, Response};
use gossip::{Facts, Liveness, Load, Platform, Resources};

use super::beliefs::Beliefs;
use super::keys::{SimKeys, id_of, mix};
use super::traffic::Traffic;

/// Virtual time since the beginning.
pub type Micros = u64;

/// Unix milliseconds at the beginning.
const WALL_MS: u64 = 1_800_000_000_000;
/// How long a dial of a device that is not there takes to fail.
const DIAL: Micros = 3_000_000;

#[derive(Debug, Clone)]
pub struct Options {
    pub members: usize,
    pub seed: u64,
    /// Of 1,000 datagrams, so many are lost.
    pub loss: u64,
    /// Each way; most letters take little more than the least.
    pub latency: std::ops::Range<Micros>,
    /// Every letter is encoded and decoded, as it is on a wire. Ten thousand members
    /// share records in memory instead, or they would not fit.
    pub encode: bool,
}

impl Options {
    pub fn new(members: usize, seed: u64) -> Self {
        Self {
            members,
            seed,
            loss: 0,
            latency: 200..5_000,
            encode: members <= 100,
        }
    }
}

enum Letter {
    Datagram(Datagram),
    Request(RequestId, Request),
    Response(RequestId, Response),
    Failed(RequestId),
}

enum Happening {
    Wake,
    Arrival { from: u32, letter: Letter },
}

struct Member {
    machine: Option<Machine>,
    /// When the earliest `Wake` in the queue is due.
    wake: Micros,
    /// Letters that wait until it is thawed.
    frozen: Option<Vec<(u32, Letter)>>,
    group: u8,
    /// For which it is not reachable, or cannot reach.
    deaf: bool,
    mute: bool,
}

/// A swarm in virtual time.
pub struct Swarm {
    pub now: Micros,
    pub options: Options,
    pub beliefs: Beliefs,
    pub traffic: Traffic,
    members: Vec<Member>,
    numbers: HashMap<NodeId, u32>,
    known: Vec<Known>,
    /// By time, then by number; what happens is kept aside.
    queue: BinaryHeap<Reverse<(Micros, u64, u32)>>,
    happenings: HashMap<u64, Happening>,
    next: u64,
    random: u64,
    /// Letters and wakes so far.
    pub steps: u64,
}

impl std::fmt::Debug for Swarm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (f.debug_struct("Swarm").field("now", &self.now)).finish_non_exhaustive()
    }
}

fn facts(number: u32) -> Facts {
    let [_, a, b, c] = number.to_be_bytes();
    Facts {
        addrs: vec![SocketAddr::from(([10, a, b, c], 2377))],
        hostname: format!("device-{number}"),
        role: Role::Worker,
        version: "0.1.0".to_owned(),
        platform: Platform {
            os: "linux".to_owned(),
            architecture: "arm64".to_owned(),
        },
        resources: Resources::default(),
        load: Load::default(),
        endpoints: BTreeMap::new(),
    }
}

impl Swarm {
    /// A swarm whose members know each other already.
    pub fn formed(options: Options) -> Self {
        let mut swarm = Self::strangers(options);
        let machines = swarm.members.iter().filter_map(|m| m.machine.as_ref());
        let mut known: Vec<(NodeId, Known)> = machines.map(|m| (m.me(), m.record())).collect();
        known.sort_by_key(|(id, _)| *id);
        swarm.known = known.into_iter().map(|(_, known)| known).collect();
        for member in &mut swarm.members {
            if let Some(machine) = &mut member.machine {
                machine.preload(&swarm.known);
            }
        }
        swarm
    }

    /// Members that know nobody.
    pub fn strangers(options: Options) -> Self {
        let count = options.members;
        let mut swarm = Self {
            now: 0,
            beliefs: Beliefs::new(count),
            traffic: Traffic::new(count),
            members: Vec::with_capacity(count),
            numbers: (0..count as u32).map(|n| (id_of(n), n)).collect(),
            known: Vec::new(),
            queue: BinaryHeap::new(),
            happenings: HashMap::new(),
            next: 0,
            random: mix(options.seed),
            steps: 0,
            options,
        };
        for number in 0..count as u32 {
            let machine = swarm.machine(number);
            swarm.members.push(Member {
                machine: Some(machine),
                wake: Micros::MAX,
                frozen: None,
                group: 0,
                deaf: false,
                mute: false,
            });
            swarm.schedule(number);
        }
        swarm
    }

    /// A random number below a limit.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.random) % limit.max(1)
    }

    pub fn is_up(&self, member: u32) -> bool {
        self.members[member as usize].machine.is_some()
    }

    /// Those that are up.
    pub fn up(&self) -> Vec<u32> {
        (0..self.members.len() as u32)
            .filter(|m| self.is_up(*m))
            .collect()
    }

    /// Power off.
    pub fn kill(&mut self, member: u32) {
        let it = &mut self.members[member as usize];
        it.machine = None;
        it.frozen = None;
        self.beliefs.remove(member);
    }

    /// Power on: a fresh process that knows where one other is.
    pub fn boot(&mut self, member: u32, contact: u32) {
        let machine = self.machine(member);
        self.members[member as usize].machine = Some(machine);
        self.members[member as usize].wake = Micros::MAX;
        self.judge();
        self.introduce(member, contact);
    }

    /// A hint to one about another.
    pub fn introduce(&mut self, member: u32, contact: u32) {
        let (id, addrs) = (id_of(contact), facts(contact).addrs);
        self.event(member, Event::Hint { id, addrs });
    }

    pub fn freeze(&mut self, member: u32) {
        self.members[member as usize].frozen.get_or_insert_default();
    }

    /// What has arrived meanwhile comes before the tick that is overdue.
    pub fn thaw(&mut self, member: u32) {
        let letters = self.members[member as usize].frozen.take();
        for (from, letter) in letters.unwrap_or_default() {
            self.open(member, from, letter);
        }
        self.members[member as usize].wake = Micros::MAX;
        self.schedule(member);
    }

    /// Nothing passes between members of different groups.
    pub fn split(&mut self, group: impl Fn(u32) -> u8) {
        for (number, member) in self.members.iter_mut().enumerate() {
            member.group = group(number as u32);
        }
        self.judge();
    }

    /// A member that hears nobody, or that nobody hears.
    pub fn impair(&mut self, member: u32, deaf: bool, mute: bool) {
        self.members[member as usize].deaf = deaf;
        self.members[member as usize].mute = mute;
    }

    /// A member's load has changed.
    pub fn load(&mut self, member: u32, tasks: u32) {
        let mut facts = facts(member);
        facts.load.tasks = tasks;
        self.event(member, Event::Facts(facts));
    }

    /// Whether all that are up and in one group believe the same.
    pub fn agree(&self) -> bool {
        let up = self.members.iter().filter(|m| m.machine.is_some());
        let mut roots = up.filter_map(|m| Some((m.group, m.machine.as_ref()?.root())));
        let mut first = HashMap::new();
        roots.all(|(group, root)| *first.entry(group).or_insert(root) == root)
    }

    pub fn run(&mut self, time: Duration) {
        self.run_to(self.now + time.as_micros() as Micros);
    }

    pub fn run_to(&mut self, end: Micros) {
        self.until(end, |_| false);
        self.now = self.now.max(end);
    }

    /// Runs until something is so or time is up; the former says when it was. Looks
    /// every millisecond at most.
    pub fn until(&mut self, end: Micros, so: impl Fn(&Self) -> bool) -> Option<Micros> {
        let mut looked = None;
        loop {
            if looked.is_none_or(|at| self.now >= at + 1_000) {
                looked = Some(self.now);
                if so(self) {
                    return looked;
                }
            }
            let next = self
                .queue
                .peek()
                .map_or(Micros::MAX, |Reverse((at, ..))| *at);
            if next > end {
                return so(self).then_some(self.now);
            }
            self.step();
        }
    }

    fn step(&mut self) {
        let Some(Reverse((at, number, member))) = self.queue.pop() else {
            return;
        };
        self.now = at;
        self.steps += 1;
        match self.happenings.remove(&number) {
            Some(Happening::Arrival { from, letter }) => {
                let it = &mut self.members[member as usize];
                match &mut it.frozen {
                    Some(letters) => letters.push((from, letter)),
                    None => self.open(member, from, letter),
                }
            }
            Some(Happening::Wake) => self.wake(member),
            None => {}
        }
    }

    fn wake(&mut self, member: u32) {
        let it = &mut self.members[member as usize];
        if it.wake != self.now {
            return;
        }
        it.wake = Micros::MAX;
        let Some(machine) = &it.machine else { return };
        if it.frozen.is_some() {
            return;
        }
        if machine.next_wakeup().as_micros() as Micros <= self.now {
            let wall_ms = WALL_MS + self.now / 1_000;
            self.event(member, Event::Tick { wall_ms });
        } else {
            self.schedule(member);
        }
    }

    fn open(&mut self, member: u32, from: u32, letter: Letter) {
        let sender = id_of(from);
        let event = match letter {
            Letter::Datagram(message) => Event::Datagram {
                from: sender,
                message,
            },
            Letter::Request(id, message) => Event::Request {
                from: sender,
                id,
                message,
            },
            Letter::Response(id, message) => Event::Response {
                from: sender,
                id,
                message,
            },
            Letter::Failed(id) => Event::RequestFailed { to: sender, id },
        };
        self.event(member, event);
    }

    fn event(&mut self, member: u32, event: Event) {
        let now = Duration::from_micros(self.now);
        if let Some(machine) = &mut self.members[member as usize].machine {
            machine.handle(event, now);
            self.perform(member);
            self.schedule(member);
        }
    }

    fn schedule(&mut self, member: u32) {
        let it = &mut self.members[member as usize];
        let Some(machine) = &it.machine else { return };
        // Rounded up, or the machine is woken a moment too early again and again.
        let wanted = machine.next_wakeup().as_nanos().div_ceil(1_000) as Micros;
        let at = wanted.max(self.now);
        if at < it.wake {
            it.wake = at;
            self.put(at, member, Happening::Wake);
        }
    }

    fn put(&mut self, at: Micros, member: u32, happening: Happening) {
        self.next += 1;
        self.happenings.insert(self.next, happening);
        self.queue.push(Reverse((at, self.next, member)));
    }

    fn perform(&mut self, member: u32) {
        loop {
            let machine = self.members[member as usize].machine.as_mut();
            let Some(effect) = machine.and_then(Machine::poll_effect) else {
                return;
            };
            match effect {
                Effect::Datagram { to, message } => {
                    let message = self.over_the_wire(message, wire::decode_datagram);
                    let bytes = wire::encoded_len(&message);
                    self.post(member, to, bytes, Letter::Datagram(message));
                }
                Effect::Request { to, id, message } => {
                    let message = self.over_the_wire(message, wire::decode_request);
                    let bytes = wire::encoded_len(&message);
                    self.post(member, to, bytes, Letter::Request(id, message));
                }
                Effect::Respond { to, id, message } => {
                    let message = self.over_the_wire(message, wire::decode_response);
                    let bytes = wire::encoded_len(&message);
                    self.post(member, to, bytes, Letter::Response(id, message));
                }
                Effect::Changed(id) => self.note(member, id),
                Effect::Disconnect(_) => {}
            }
        }
    }

    fn over_the_wire<M: wire::Message>(
        &self,
        message: M,
        decode: impl Fn(&[u8]) -> Result<M, wire::WireError>,
    ) -> M {
        if !self.options.encode {
            return message;
        }
        decode(&wire::encode(&message)).unwrap_or(message)
    }

    fn note(&mut self, observer: u32, id: NodeId) {
        let machine = self.members[observer as usize].machine.as_ref();
        let member = machine.and_then(|machine| machine.member(id));
        let Some(&subject) = self.numbers.get(&id) else {
            return;
        };
        let dead = member.is_some_and(|m| matches!(m.liveness, Liveness::Dead { .. }));
        let in_reach = self.in_reach(observer, subject);
        self.beliefs
            .note(observer, subject, dead, in_reach, self.now);
    }

    fn in_reach(&self, observer: u32, subject: u32) -> bool {
        let (one, other) = (
            &self.members[observer as usize],
            &self.members[subject as usize],
        );
        other.machine.is_some() && other.frozen.is_none() && one.group == other.group
    }

    fn judge(&mut self) {
        let up = |m: &Member| m.machine.is_some().then_some(m.group);
        let groups: Vec<Option<u8>> = self.members.iter().map(up).collect();
        let in_reach =
            |o: u32, s: u32| groups[s as usize].is_some_and(|g| groups[o as usize] == Some(g));
        self.beliefs.judge(in_reach, self.now);
    }

    fn post(&mut self, from: u32, to: NodeId, bytes: usize, letter: Letter) {
        let Some(&to) = self.numbers.get(&to) else {
            return;
        };
        let (sender, target) = (&self.members[from as usize], &self.members[to as usize]);
        let cut = sender.group != target.group || sender.mute || target.deaf;
        let back = sender.deaf || target.mute;
        let datagram = matches!(letter, Letter::Datagram(_));
        // A stream needs both ways; a device that is off answers no dial.
        let reached = !cut && target.machine.is_some() && (datagram || !back);
        if !reached {
            if let Letter::Request(id, _) = letter {
                let letter = Letter::Failed(id);
                self.put(
                    self.now + DIAL,
                    from,
                    Happening::Arrival { from: to, letter },
                );
            }
            return;
        }
        self.traffic.send(from, to, bytes, self.now);
        if datagram && self.below(1_000) < self.options.loss {
            return;
        }
        self.traffic.receive(from, to, bytes, self.now);
        let delay = self.delay();
        let lost = u64::from(!datagram) * self.options.loss;
        // What is lost of an exchange is sent again.
        let again = if self.below(1_000) < 2 * lost {
            200_000
        } else {
            0
        };
        let at = self.now + delay + again;
        self.put(at, to, Happening::Arrival { from, letter });
    }

    fn delay(&mut self) -> Micros {
        let std::ops::Range { start, end } = self.options.latency;
        let width = end.saturating_sub(start);
        // The square of a uniform number: mostly near the least.
        let part = self.below(1 << 20);
        start + (width * ((part * part) >> 20)) / (1 << 20)
    }

    fn machine(&mut self, number: u32) -> Machine {
        let seed = mix(self.options.seed ^ u64::from(number) << 32 ^ self.now);
        let now = Duration::from_micros(self.now);
        let incarnation = WALL_MS + self.now / 1_000;
        let keys = Box::new(SimKeys(number));
        Machine::new(
            Config::default(),
            keys,
            facts(number),
            incarnation,
            seed,
            now,
        )
    }
}
