//! Any interleaving of producers against the simplest thing that could be right: a list of records with their fate.

use super::*;
use crate::log::{Offset, Outgoing, TopicPartition};
use proptest::prelude::*;

const PRODUCERS: usize = 3;
const PARTITIONS: usize = 2;

#[derive(Clone, Copy, Debug)]
enum Step {
    Begin(usize),
    Send(usize, usize),
    /// Hands over what is staged, with an offset of the producer's own group.
    Offsets(usize, i64),
    Commit(usize),
    Abort(usize),
    Reopen(usize),
    Append(usize),
    Poll,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = 0..PRODUCERS;
    let step = prop_oneof![
        2 => who.clone().prop_map(Step::Begin),
        6 => (who.clone(), 0..PARTITIONS).prop_map(|(who, partition)| Step::Send(who, partition)),
        2 => (who.clone(), 0..100_i64).prop_map(|(who, next)| Step::Offsets(who, next)),
        2 => who.clone().prop_map(Step::Commit),
        1 => who.clone().prop_map(Step::Abort),
        1 => who.prop_map(Step::Reopen),
        2 => (0..PARTITIONS).prop_map(Step::Append),
        1 => Just(Step::Poll),
    ];
    proptest::collection::vec(step, 1..80)
}

#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Open(usize),
    Committed,
    Gone,
}

/// One entry per offset: a record's number, or none for a marker.
#[derive(Default)]
struct Model {
    partitions: [Vec<(Option<u32>, Fate)>; PARTITIONS],
    staged: [Vec<(usize, u32)>; PRODUCERS],
    open: [bool; PRODUCERS],
    touched: [[bool; PARTITIONS]; PRODUCERS],
    offsets: [Option<i64>; PRODUCERS],
    committed: [Option<i64>; PRODUCERS],
}

impl Model {
    fn flush(&mut self, who: usize) {
        // A producer hands over one partition after the other.
        let mut staged = std::mem::take(&mut self.staged[who]);
        staged.sort_by_key(|(partition, _)| *partition);
        for (partition, number) in staged {
            self.touched[who][partition] = true;
            self.partitions[partition].push((Some(number), Fate::Open(who)));
        }
    }

    fn end(&mut self, who: usize, commit: bool) {
        if !std::mem::take(&mut self.open[who]) {
            return;
        }
        for (partition, touched) in self.touched[who].iter_mut().enumerate() {
            if std::mem::take(touched) {
                for (_, fate) in self.partitions[partition].iter_mut().filter(|(_, fate)| *fate == Fate::Open(who)) {
                    *fate = if commit { Fate::Committed } else { Fate::Gone };
                }
                self.partitions[partition].push((None, Fate::Gone));
            }
        }
        let offsets = self.offsets[who].take();
        if commit && offsets.is_some() {
            self.committed[who] = offsets;
        }
    }

    fn visible(&self, partition: usize) -> Vec<(i64, u32)> {
        let stable = self.partitions[partition].iter().take_while(|(_, fate)| !matches!(fate, Fate::Open(_)));
        let numbered = stable.enumerate().filter(|(_, (_, fate))| *fate == Fate::Committed);
        numbered.filter_map(|(offset, (number, _))| Some((offset as i64, (*number)?))).collect()
    }
}

struct World {
    log: Embedded,
    members: Vec<Box<dyn Log>>,
    reader: EmbeddedReader,
    read: [Vec<(i64, u32)>; PARTITIONS],
    model: Model,
    next: u32,
}

impl World {
    fn new() -> Self {
        let log = Embedded::new(EmbeddedSettings { wait_max: Duration::ZERO, trims: false, ..Default::default() });
        let spec = |name: &str, partitions| TopicSpec { name: name.into(), partitions, settings: Vec::new() };
        log.create(&[spec("in", 1), spec("out", PARTITIONS as i32)]).unwrap();
        let member = |who| {
            let mut member = log.open(&format!("g{who}"), &format!("m{who}"), &["in".into()]).unwrap();
            member.poll(Duration::ZERO, 0, &mut |_| {}).unwrap();
            member
        };
        let members = (0..PRODUCERS).map(member).collect();
        let reader = log.records(&["out".into()]).unwrap();
        Self { log, members, reader, read: Default::default(), model: Model::default(), next: 0 }
    }

    fn poll(&mut self) {
        let read = &mut self.read;
        let number = |value: Option<&[u8]>| u32::from_le_bytes(value.unwrap().try_into().unwrap());
        self.reader
            .poll(Duration::ZERO, &mut |record| {
                read[record.partition as usize].push((record.offset, number(record.value)));
            })
            .unwrap();
    }

    fn send(&mut self, who: usize, partition: usize) {
        self.next += 1;
        let value = self.next.to_le_bytes();
        let record =
            Outgoing { topic: "out", partition: partition as i32, key: None, value: Some(&value), headers: &[] };
        self.members[who].send(record).unwrap();
        self.model.staged[who].push((partition, self.next));
    }

    fn step(&mut self, step: Step) {
        let input = || TopicPartition { topic: "in".into(), partition: 0 };
        match step {
            Step::Begin(who) => {
                assert_eq!(self.members[who].begin().is_ok(), !self.model.open[who]);
                self.model.open[who] = true;
            }
            Step::Send(who, partition) if self.model.open[who] => self.send(who, partition),
            Step::Offsets(who, next) if self.model.open[who] => {
                let offset = Offset { at: input(), next, metadata: String::new() };
                self.members[who].send_offsets(&[offset]).unwrap();
                self.model.flush(who);
                self.model.offsets[who] = Some(next);
            }
            Step::Commit(who) => {
                assert_eq!(self.members[who].commit().is_ok(), self.model.open[who]);
                self.model.flush(who);
                self.model.end(who, true);
            }
            Step::Abort(who) => {
                assert_eq!(self.members[who].abort().is_ok(), self.model.open[who]);
                self.model.staged[who].clear();
                self.model.end(who, false);
            }
            Step::Reopen(who) => {
                self.members[who].reopen().unwrap();
                self.model.staged[who].clear();
                self.model.end(who, false);
            }
            Step::Append(partition) => {
                self.next += 1;
                let value = self.next.to_le_bytes();
                let offset = self.log.append("out", partition as i32, None, None, Some(&value)).unwrap();
                assert_eq!(offset, self.model.partitions[partition].len() as i64);
                self.model.partitions[partition].push((Some(self.next), Fate::Committed));
            }
            Step::Poll => self.poll(),
            Step::Send(..) | Step::Offsets(..) => {}
        }
    }

    fn check(&mut self) {
        self.poll();
        for partition in 0..PARTITIONS {
            assert_eq!(self.read[partition], self.model.visible(partition), "partition {partition}");
        }
        for (who, member) in self.members.iter_mut().enumerate() {
            let input = [TopicPartition { topic: "in".into(), partition: 0 }];
            match member.committed(&input) {
                Ok(found) => {
                    assert!(self.model.offsets[who].is_none());
                    assert_eq!(found[0].as_ref().map(|offset| offset.next), self.model.committed[who]);
                }
                Err(error) => assert!(self.model.offsets[who].is_some() && error.class == Class::Retriable),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn readers_see_what_the_model_sees(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.check();
        for who in 0..PRODUCERS {
            world.step(Step::Commit(who));
        }
        world.check();
    }
}
