//! Reads topics from their beginning, outside of any group.

use super::Shared;
use super::chunk::{Headers, Piece};
use super::group::At;
use super::state::State;
use crate::log::{Incoming, LogError, Reader};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Records given by one poll at most.
const POLL_RECORDS: usize = 4096;

struct Place {
    at: At,
    topic: Arc<str>,
    position: i64,
    /// The end to reach.
    target: i64,
}

/// A reader of committed records; what it has not read yet is kept for it.
pub struct EmbeddedReader {
    shared: Arc<Shared>,
    id: u64,
    places: Vec<Place>,
    pieces: Vec<(usize, Piece)>,
}

impl EmbeddedReader {
    pub(super) fn open(shared: &Arc<Shared>, topics: &[String]) -> Result<Self, LogError> {
        let mut state = shared.lock();
        let topics = topics.iter().map(|topic| state.topic(topic)).collect::<Result<Vec<_>, _>>()?;
        let id = state.new_id();
        let mut places = Vec::new();
        for topic in topics {
            let found = &mut state.topics[topic];
            found.readers.insert(id, found.partitions.iter().map(|partition| partition.start()).collect());
            places.extend(found.partitions.iter().enumerate().map(|(number, partition)| Place {
                at: (topic, number as i32),
                topic: Arc::clone(&found.name),
                position: partition.start(),
                target: partition.stable(),
            }));
        }
        Ok(Self { shared: Arc::clone(shared), id, places, pieces: Vec::new() })
    }

    /// As [`Reader::poll`], with each record's headers. Partitions take turns; the order within one is kept.
    pub fn poll_headers(
        &mut self,
        timeout: Duration,
        each: &mut dyn FnMut(Incoming<'_>, Headers<'_>),
    ) -> Result<bool, LogError> {
        let shared = Arc::clone(&self.shared);
        let deadline = Instant::now() + timeout.min(shared.settings.wait_max);
        let mut state = shared.lock();
        while !self.gather(&mut state) && !state.stopped && Instant::now() < deadline {
            state = shared.wait(state, Some(deadline));
        }
        if !self.pieces.is_empty() {
            // What was trimmed may let a writer go on.
            shared.wake(&state);
        }
        drop(state);
        for (place, piece) in self.pieces.drain(..) {
            let place = &self.places[place];
            for index in piece.from..piece.to {
                let (record, headers) = piece.chunk.record(index, &place.topic, place.at.1);
                each(record, headers);
            }
        }
        Ok(self.places.iter().all(|place| place.position >= place.target))
    }

    /// Takes hold of what is there; whether that is anything.
    fn gather(&mut self, state: &mut State) -> bool {
        let (mut left, mut pieces) = (POLL_RECORDS, Vec::new());
        for (number, place) in self.places.iter_mut().enumerate() {
            let partition = &mut state.topics[place.at.0].partitions[place.at.1 as usize];
            let (records, next) = partition.read(place.position, left, u64::MAX, &mut pieces);
            left -= records;
            self.pieces.extend(pieces.drain(..).map(|piece| (number, piece)));
            if next > place.position {
                place.position = next;
                let topic = &mut state.topics[place.at.0];
                topic.readers.get_mut(&self.id).expect("registered when opened")[place.at.1 as usize] = next;
                state.tidy(place.at);
            }
        }
        // The partition after the one that filled this poll begins the next.
        let next = self.pieces.last().map_or(0, |(number, _)| (number + 1) % self.places.len().max(1));
        if left == 0 {
            let moved = next;
            self.places.rotate_left(moved);
            let count = self.places.len();
            self.pieces.iter_mut().for_each(|(number, _)| *number = (*number + count - moved) % count);
        }
        !self.pieces.is_empty()
    }
}

impl Reader for EmbeddedReader {
    fn poll(&mut self, timeout: Duration, each: &mut dyn FnMut(Incoming<'_>)) -> Result<bool, LogError> {
        self.poll_headers(timeout, &mut |record, _| each(record))
    }

    fn catch_up(&mut self) -> Result<(), LogError> {
        let state = self.shared.lock();
        for place in &mut self.places {
            place.target = state.topics[place.at.0].partitions[place.at.1 as usize].stable();
        }
        Ok(())
    }
}

impl Drop for EmbeddedReader {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        for at in self.places.iter().map(|place| place.at) {
            if state.topics[at.0].readers.remove(&self.id).is_some() {
                self.shared.wake(&state);
            }
        }
    }
}
