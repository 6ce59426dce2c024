//! The events of a data set in one order, linked by user, and where they are split.

use super::{EvaluateError, Past};

/// Share of the stream that warms models up.
const WARM_UP: f64 = 0.4;
/// Share of the stream before the scored part; what lies between it and the warm-up is for choosing settings.
const FITTED: f64 = 0.5;
/// Stands for "no event".
pub(super) const NONE: u32 = u32::MAX;

/// Something that a user did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Number of the user; numbers are dense, from 0.
    pub user: u32,
    /// Number of the event's type, below the stream's `kinds`.
    pub kind: u32,
    /// When, in ms.
    pub time_ms: i64,
}

/// The split of a stream by position: `[0, warm_up)`, `[warm_up, scored)` for choosing settings, `[scored, events)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// End of the warm-up: 40 %.
    pub warm_up: usize,
    /// Beginning of the scored part: 50 %.
    pub scored: usize,
}

/// One data set as one stream: all users' events by time (ties: user, then the order given).
#[derive(Clone, Debug)]
pub struct Stream {
    pub(super) events: Vec<Event>,
    pub(super) kinds: usize,
    split: Split,
    pub(super) unit_ms: f64,
    /// By position: the user's previous and next event; [`NONE`] where there is none.
    pub(super) previous: Vec<u32>,
    pub(super) next: Vec<u32>,
    /// By position: how many events the user had before.
    pub(super) rank: Vec<u32>,
    /// Positions of user u: `positions[offsets[u]..offsets[u + 1]]`, ascending.
    pub(super) offsets: Vec<usize>,
    pub(super) positions: Vec<u32>,
}

impl Stream {
    /// Orders `events` of `kinds` types.
    ///
    /// # Errors
    /// A kind outside of the alphabet; a warm-up without a positive gap (which gives the unit of densities), a
    /// validation or scored part without an event to score.
    pub fn new(mut events: Vec<Event>, kinds: usize) -> Result<Self, EvaluateError> {
        assert!(events.len() < NONE as usize, "a stream is shorter than {NONE} events");
        if let Some((position, event)) = events.iter().enumerate().find(|(_, event)| event.kind as usize >= kinds) {
            return Err(EvaluateError::Kind { position, user: event.user, kind: event.kind, kinds });
        }
        events.sort_by_key(|event| (event.time_ms, event.user));
        let share = |part: f64| (part * events.len() as f64) as usize;
        let split = Split { warm_up: share(WARM_UP), scored: share(FITTED) };
        let mut stream = Self::linked(events, kinds, split);
        stream.unit_ms = stream.median_gap_ms()?;
        for (part, range) in
            [("validation part", split.warm_up..split.scored), ("scored part", split.scored..stream.len())]
        {
            if stream.whole().targets(range.clone()).next().is_none() {
                return Err(EvaluateError::Empty { part, from: range.start, until: range.end, events: stream.len() });
            }
        }
        Ok(stream)
    }

    /// Links every event with its user's previous and next one.
    fn linked(events: Vec<Event>, kinds: usize, split: Split) -> Self {
        let users = events.iter().map(|event| event.user as usize + 1).max().unwrap_or(0);
        let mut offsets = vec![0_usize; users + 1];
        for event in &events {
            offsets[event.user as usize + 1] += 1;
        }
        for user in 0..users {
            offsets[user + 1] += offsets[user];
        }
        let n = events.len();
        let (mut previous, mut next, mut rank) = (vec![NONE; n], vec![NONE; n], vec![0; n]);
        let (mut positions, mut filled) = (vec![0; n], offsets.clone());
        for (position, event) in events.iter().enumerate() {
            let user = event.user as usize;
            rank[position] = (filled[user] - offsets[user]) as u32;
            if rank[position] > 0 {
                let before: u32 = positions[filled[user] - 1];
                previous[position] = before;
                next[before as usize] = position as u32;
            }
            positions[filled[user]] = position as u32;
            filled[user] += 1;
        }
        Self { events, kinds, split, unit_ms: 1.0, previous, next, rank, offsets, positions }
    }

    /// Median of the positive gaps of the warm-up, in ms.
    fn median_gap_ms(&self) -> Result<f64, EvaluateError> {
        let until = self.split.warm_up;
        let past = self.until(until);
        let mut gaps: Vec<i64> = past.targets(0..until).map(|i| past.gap_ms(i)).filter(|gap| *gap > 0).collect();
        if gaps.is_empty() {
            return Err(EvaluateError::NoGap { warm_up: until, events: self.len() });
        }
        gaps.sort_unstable();
        let middle = gaps.len() / 2;
        let low = (gaps.len() - 1) / 2;
        Ok(0.5 * (gaps[low] as f64 + gaps[middle] as f64))
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there are none; a stream that was made has some.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Where the parts begin.
    pub fn split(&self) -> Split {
        self.split
    }

    /// The unit of densities: the median positive gap of the warm-up, in ms.
    pub fn unit_ms(&self) -> f64 {
        self.unit_ms
    }

    /// The past of an onlooker who has seen the first `len` events.
    pub fn until(&self, len: usize) -> Past<'_> {
        assert!(len <= self.len(), "a past of {len} events of a stream of {}", self.len());
        Past::new(self, len)
    }

    /// Everything.
    pub fn whole(&self) -> Past<'_> {
        self.until(self.len())
    }
}
