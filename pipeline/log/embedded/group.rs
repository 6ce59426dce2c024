//! Consumer groups: who owns which partition, and the offsets they committed.

use std::collections::{BTreeMap, BTreeSet};

/// A partition by the topic's place in the log.
pub(super) type At = (usize, i32);

/// An offset with the group's own words about it.
#[derive(Clone, Debug)]
pub(super) struct Committed {
    pub(super) next: i64,
    pub(super) metadata: String,
}

#[derive(Debug, Default)]
pub(super) struct Member {
    /// The stable name; a second member of that name takes the place of the first.
    pub(super) name: String,
    /// What it subscribed to.
    pub(super) topics: Vec<usize>,
    /// What it has been told is its own, and has not been told is another's.
    pub(super) owned: BTreeSet<At>,
    /// What shall be its own.
    target: BTreeSet<At>,
}

/// A group. A partition moves in two steps: its owner learns of the loss in `poll`, then the next one gets it.
#[derive(Debug, Default)]
pub(super) struct Group {
    members: BTreeMap<u64, Member>,
    pub(super) offsets: BTreeMap<At, Committed>,
    /// Transactions that carry offsets of these partitions and are not decided.
    pub(super) pending: BTreeMap<At, BTreeSet<u64>>,
    /// Counts every change, so that a member sees cheaply that there is none.
    pub(super) generation: u64,
}

impl Group {
    /// Takes a member in, in the place of an older one of the same name.
    pub(super) fn join(&mut self, id: u64, name: &str, topics: &[usize]) {
        self.members.retain(|_, member| member.name != name);
        self.members.insert(id, Member { name: name.into(), topics: topics.to_vec(), ..Member::default() });
    }

    /// The member leaves, or is declared dead: its partitions are nobody's at once.
    pub(super) fn leave(&mut self, id: u64) -> bool {
        self.members.remove(&id).is_some()
    }

    pub(super) fn member_named(&self, name: &str) -> Option<u64> {
        self.members.iter().find(|(_, member)| member.name == name).map(|(id, _)| *id)
    }

    pub(super) fn has(&self, id: u64) -> bool {
        self.members.contains_key(&id)
    }

    pub(super) fn owns(&self, id: u64, at: At) -> bool {
        self.members.get(&id).is_some_and(|member| member.owned.contains(&at))
    }

    /// Decides anew who shall own what: even within one partition, moving as few as possible.
    pub(super) fn balance(&mut self, partitions: impl Fn(usize) -> i32) {
        self.generation += 1;
        let topics: BTreeSet<usize> = self.members.values().flat_map(|member| member.topics.iter().copied()).collect();
        for topic in topics {
            self.balance_topic(topic, partitions(topic));
        }
    }

    fn balance_topic(&mut self, topic: usize, partitions: i32) {
        let mut members: Vec<u64> =
            self.members.iter().filter(|(_, member)| member.topics.contains(&topic)).map(|(id, _)| *id).collect();
        let mine = |member: &Member| member.target.iter().filter(|at| at.0 == topic).count();
        // Those with the most keep the most; the rest of an uneven division of one topic goes to who has least of all.
        members.sort_by_key(|id| {
            let member = &self.members[id];
            (std::cmp::Reverse(mine(member)), member.target.len(), *id)
        });
        let (least, more) = (partitions as usize / members.len(), partitions as usize % members.len());
        let quota = |place: usize| least + usize::from(place < more);
        let mut free: BTreeSet<i32> = (0..partitions).collect();
        for (place, id) in members.iter().enumerate() {
            let member = self.members.get_mut(id).expect("collected above");
            let had: Vec<At> = member.target.iter().filter(|at| at.0 == topic).copied().collect();
            for (count, at) in had.into_iter().enumerate() {
                if count < quota(place) && free.contains(&at.1) {
                    free.remove(&at.1);
                } else {
                    member.target.remove(&at);
                }
            }
        }
        for (place, id) in members.iter().enumerate() {
            let member = self.members.get_mut(id).expect("collected above");
            for _ in mine(member)..quota(place) {
                let partition = free.pop_first().expect("quotas add up to the number of partitions");
                member.target.insert((topic, partition));
            }
        }
    }

    /// First step: what this member must give up. It is nobody's from now on.
    pub(super) fn revoke(&mut self, id: u64) -> Vec<At> {
        let Some(member) = self.members.get_mut(&id) else { return Vec::new() };
        let lost: Vec<At> = member.owned.difference(&member.target).copied().collect();
        member.owned.retain(|at| member.target.contains(at));
        if !lost.is_empty() {
            self.generation += 1;
        }
        lost
    }

    /// Second step: what this member is to have and nobody owns any more.
    pub(super) fn assign(&mut self, id: u64) -> Vec<At> {
        let Some(member) = self.members.get(&id) else { return Vec::new() };
        let taken = |at: &At| self.members.values().any(|other| other.owned.contains(at));
        let gained: Vec<At> = member.target.iter().filter(|at| !taken(at)).copied().collect();
        if !gained.is_empty() {
            self.members.get_mut(&id).expect("looked up above").owned.extend(gained.iter().copied());
            self.generation += 1;
        }
        gained
    }
}
