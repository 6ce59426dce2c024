//! What happens to a world: crashes, zombies, lost sessions, lost devices, records whose time is over.

use std::time::Duration;

use pipeline::config::Route;
use pipeline::roles::{self, Group};

use super::process::judge;
use super::world::World;

impl World {
    /// One thing happens.
    pub fn something(&mut self) -> Result<(), String> {
        self.clock += Duration::from_millis(self.dice.below(30));
        match self.dice.below(100) {
            0..12 => {
                let lines = 1 + self.dice.below(6) as usize;
                self.feed(lines);
            }
            12..16 => self.start(),
            16..18 => self.crash(),
            18..20 => self.stop()?,
            20..23 => self.bury(),
            23..29 => self.walk()?,
            29 => self.expire(),
            30 => self.clock += Duration::from_secs(self.dice.below(60)),
            31 if self.happened.torn == 0 => self.happened.torn += u64::from(self.shelf.tear()),
            32..35 => {
                if let Some(gpu) = self.device.take() {
                    gpu.lose();
                    self.happened.lost_devices += 1;
                }
            }
            35 => self.retain(),
            _ if self.processes.is_empty() => self.start(),
            _ => {
                let at = self.dice.below(self.processes.len() as u64) as usize;
                let group = self.one_of_the_groups();
                self.step(at, group)?;
            }
        }
        Ok(())
    }

    /// Whose turn it is: seldom learners', since records of samples are few.
    fn one_of_the_groups(&mut self) -> Group {
        let learning = self.plan.learning();
        let learns = !learning.is_empty() && self.dice.one_in(4);
        match self.dice.one_in(2) {
            _ if learns => Group::Learner(learning[self.dice.below(learning.len() as u64) as usize]),
            true => Group::Router,
            false => Group::Engine,
        }
    }

    /// A process is gone without a word: nobody knows yet.
    fn crash(&mut self) {
        if !self.processes.is_empty() {
            let at = self.dice.below(self.processes.len() as u64) as usize;
            self.zombies.push(self.processes.remove(at));
            self.happened.crashes += 1;
        }
    }

    /// A process ends as it should.
    fn stop(&mut self) -> Result<(), String> {
        if self.processes.is_empty() {
            return Ok(());
        }
        let at = self.dice.below(self.processes.len() as u64) as usize;
        let process = self.processes.remove(at);
        self.happened.stops += 1;
        let mut ended = process.router.map_or(Ok(()), |router| router.1.finish().map(|_| ()));
        ended = ended.and(process.engine.1.finish().map(|_| ()));
        for (_, learner) in process.learners {
            ended = ended.and(learner.finish().map(|_| ()));
        }
        ended.map_or_else(judge, Ok)
    }

    /// The group's session of a dead one ends, and the broker aborts what he has open.
    pub fn bury(&mut self) {
        if self.zombies.is_empty() {
            return;
        }
        let at = self.dice.below(self.zombies.len() as u64) as usize;
        let process = self.zombies.remove(at);
        // Where its name is another's by now, he has been buried.
        if self.processes.iter().all(|living| living.instance != process.instance) {
            self.expire_all(process.instance);
        }
    }

    /// The time of input records is over; that of events without a hop, which state is restored from, is not.
    fn retain(&mut self) {
        if self.plan.config.route == Route::ByUser {
            for (group, topic) in self.to_drain().into_iter().filter(|(_, topic)| *topic != self.topics.by_user()) {
                self.happened.expired_records += self.broker.expire_records(&group, &topic).unwrap();
            }
        }
    }

    fn expire_all(&mut self, instance: &str) {
        for group in self.plan.groups() {
            let name = self.member(group, instance);
            self.broker.expire(&roles::group(&self.plan.config, group), &name);
            self.broker.expire_transaction(&name);
        }
        self.happened.expired += 1;
    }

    /// A zombie wakes up and goes on where he was; what he is told does not matter.
    fn walk(&mut self) -> Result<(), String> {
        if self.zombies.is_empty() {
            return Ok(());
        }
        let at = self.dice.below(self.zombies.len() as u64) as usize;
        if self.zombies[at].dead {
            return Ok(());
        }
        let group = self.one_of_the_groups();
        let stepped = self.zombies[at].step(group, self.clock);
        self.happened.zombies += 1;
        if let Err(error) = stepped {
            self.zombies.remove(at);
            judge(error)?;
        }
        Ok(())
    }

    fn member(&self, group: Group, instance: &str) -> String {
        roles::member(&self.plan.config_of(instance), group, 0)
    }

    /// A living process was too slow for its group or for its transaction.
    fn expire(&mut self) {
        if self.processes.is_empty() {
            return;
        }
        let at = self.dice.below(self.processes.len() as u64) as usize;
        let process = &self.processes[at];
        let instance = process.instance;
        if self.dice.one_in(4) {
            return self.expire_all(instance);
        }
        let group = self.one_of_the_groups();
        self.broker.expire_transaction(&self.member(group, instance));
    }
}
