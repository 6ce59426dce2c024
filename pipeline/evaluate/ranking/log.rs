//! A log by number: histories, requests with their candidates, and what became of them.

use std::ops::Range;

use super::RankingError;

/// Share of the examples, in time order, that models are trained on.
const TRAINED: f64 = 0.7;
/// Share before the test part; what lies between is for choosing.
const CHOSEN: f64 = 0.8;

/// Something that a user did with an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behavior {
    /// When, in ms.
    pub time_ms: i64,
    /// Number of the item; numbers are dense, from 0.
    pub item: u32,
    /// Number of the action's type, from 1.
    pub action: u32,
}

/// A part of the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Models are trained on it.
    Train,
    /// Epochs and settings are chosen on it.
    Validation,
    /// It is reported.
    Test,
}

/// Items to be scored for a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Number of the user.
    pub user: u32,
    /// When, in ms.
    pub time_ms: i64,
    /// Its candidates, places in [`Log::candidates`].
    pub candidates: Range<usize>,
    /// How many of the user's behaviors are strictly older.
    pub behaviors: usize,
    /// Where it lies in time.
    pub part: Part,
}

/// Something that was shown, or clicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When, in ms.
    pub time_ms: i64,
    /// Number of the user.
    pub user: u32,
    /// Number of the item.
    pub item: u32,
    /// Whether it was clicked; else it was shown.
    pub clicked: bool,
}

/// A request as it came, with a label for each candidate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Labelled {
    /// Number of the user.
    pub user: u32,
    /// When, in ms.
    pub time_ms: i64,
    /// Its candidates.
    pub items: Vec<u32>,
    /// What became of each.
    pub labels: Vec<bool>,
    /// Features by number: one value per candidate, or none at all.
    pub features: Vec<Vec<f32>>,
}

/// What is known of items, by number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Items {
    /// Their ids.
    pub names: Vec<Box<str>>,
    /// Number of the category, from 1; 0 where there is none.
    pub categories: Vec<u32>,
    /// Length of content vectors; 0 where nobody brings any.
    pub dim: usize,
    /// (items, dim): content vectors, zero where an item has none.
    pub vectors: Vec<f32>,
}

/// A whole log; see the [module](super).
#[derive(Clone, Debug)]
pub struct Log {
    /// What is known of items.
    pub items: Items,
    /// How many types of actions there are.
    pub actions: usize,
    /// Names of the features of requests.
    pub feature_names: Vec<String>,
    /// Behaviors of user u: `behaviors[offsets[u]..offsets[u + 1]]`, oldest first.
    pub(super) offsets: Vec<usize>,
    pub(super) behaviors: Vec<Behavior>,
    /// Places of behaviors in the order of the log: by time, then as they came. With the user of each.
    pub(super) order: Vec<(u32, u32)>,
    /// In the order of time.
    pub requests: Vec<Request>,
    /// Items of all candidates, request by request.
    pub candidates: Vec<u32>,
    /// What became of each.
    pub labels: Vec<bool>,
    /// By feature: the value of each candidate; NaN where it is not known.
    pub features: Vec<Vec<f32>>,
    /// Shown and clicked, in the order of time.
    pub(super) marks: Vec<Mark>,
}

impl Log {
    /// Orders what came: behaviors by (user, behavior) in the order of the log, and what was shown outside of `requests`,
    /// or clicked.
    ///
    /// # Errors
    /// Where a part has no candidates, or only such of one label.
    pub fn new(
        items: Items,
        actions: usize,
        feature_names: Vec<String>,
        mut behaviors: Vec<(u32, Behavior)>,
        mut requests: Vec<Labelled>,
        marks: Vec<Mark>,
    ) -> Result<Self, RankingError> {
        behaviors.sort_by_key(|(_, behavior)| behavior.time_ms);
        requests.retain(|request| !request.items.is_empty());
        requests.sort_by_key(|request| request.time_ms);
        let users = behaviors.iter().map(|(user, _)| *user).chain(requests.iter().map(|request| request.user));
        let users = users.max().map_or(0, |user| user as usize + 1);
        let (offsets, order) = places(&behaviors, users);
        let mut by_user = vec![Behavior { time_ms: 0, item: 0, action: 0 }; behaviors.len()];
        for ((_, place), (_, behavior)) in order.iter().zip(&behaviors) {
            by_user[*place as usize] = *behavior;
        }
        drop(behaviors);
        let mut log = Self {
            items,
            actions,
            features: vec![Vec::new(); feature_names.len()],
            feature_names,
            offsets,
            behaviors: by_user,
            order,
            requests: Vec::with_capacity(requests.len()),
            candidates: Vec::new(),
            labels: Vec::new(),
            marks,
        };
        requests.into_iter().for_each(|request| log.push(request));
        log.marks.sort_by_key(|mark| mark.time_ms);
        log.split()?;
        Ok(log)
    }

    fn push(&mut self, request: Labelled) {
        let Labelled { user, time_ms, items, labels, features } = request;
        assert_eq!(items.len(), labels.len(), "one label for each candidate");
        let first = self.candidates.len();
        self.candidates.extend(&items);
        self.labels.extend(&labels);
        for (own, all) in self.features.iter_mut().enumerate() {
            match features.get(own) {
                Some(values) if values.len() == items.len() => all.extend(values),
                _ => all.resize(self.candidates.len(), f32::NAN),
            }
        }
        let behaviors = self.of_user(user).partition_point(|behavior| behavior.time_ms < time_ms);
        let candidates = first..self.candidates.len();
        self.marks.extend(items.iter().map(|&item| Mark { time_ms, user, item, clicked: false }));
        self.requests.push(Request { user, time_ms, candidates, behaviors, part: Part::Train });
    }

    /// Gives each request its part. A border is the time of the request in whose middle the share is reached: requests
    /// of one time stamp are never parted.
    fn split(&mut self) -> Result<(), RankingError> {
        let all = self.candidates.len() as f64;
        let border = |share: f64| {
            let middle = |request: &Request| (request.candidates.start + request.candidates.end) as f64 / 2.0;
            let at = self.requests.partition_point(|request| middle(request) < share * all);
            self.requests.get(at).map_or(i64::MAX, |request| request.time_ms)
        };
        let (chosen, tested) = (border(TRAINED), border(CHOSEN));
        for request in &mut self.requests {
            request.part = match request.time_ms {
                time if time < chosen => Part::Train,
                time if time < tested => Part::Validation,
                _ => Part::Test,
            };
        }
        for (part, name) in [(Part::Train, "training"), (Part::Validation, "validation"), (Part::Test, "test")] {
            let labels = || self.of_part(part).flat_map(|request| &self.labels[request.candidates.clone()]);
            let (examples, positives) = (labels().count(), labels().filter(|label| **label).count());
            if positives == 0 || positives == examples {
                return Err(RankingError::OneClass { part: name, examples, positives });
            }
        }
        Ok(())
    }

    /// Requests of a part, in the order of time.
    pub fn of_part(&self, part: Part) -> impl Iterator<Item = &Request> {
        self.requests.iter().filter(move |request| request.part == part)
    }

    /// The time at which training ends: that of the first request after it.
    pub fn trained_until_ms(&self) -> i64 {
        self.requests.iter().find(|request| request.part != Part::Train).map_or(i64::MAX, |request| request.time_ms)
    }

    /// All behaviors of a user, oldest first.
    pub fn of_user(&self, user: u32) -> &[Behavior] {
        &self.behaviors[self.offsets[user as usize]..self.offsets[user as usize + 1]]
    }

    /// The newest `max` behaviors that the request may see, oldest first.
    pub fn history(&self, request: &Request, max: usize) -> &[Behavior] {
        let seen = &self.of_user(request.user)[..request.behaviors];
        &seen[seen.len().saturating_sub(max)..]
    }

    /// How many users there are.
    pub fn users(&self) -> usize {
        self.offsets.len() - 1
    }

    /// How many behaviors there are.
    pub fn behaviors(&self) -> usize {
        self.behaviors.len()
    }
}

/// Where each user's behaviors begin, and by behavior of the log its user and place.
fn places(behaviors: &[(u32, Behavior)], users: usize) -> (Vec<usize>, Vec<(u32, u32)>) {
    assert!(behaviors.len() < u32::MAX as usize, "a log is shorter than {} behaviors", u32::MAX);
    let mut offsets = vec![0; users + 1];
    behaviors.iter().for_each(|(user, _)| offsets[*user as usize + 1] += 1);
    (0..users).for_each(|user| offsets[user + 1] += offsets[user]);
    let mut filled = offsets.clone();
    let order = behaviors.iter().map(|(user, _)| {
        let next = &mut filled[*user as usize];
        *next += 1;
        (*user, (*next - 1) as u32)
    });
    let order = order.collect();
    (offsets, order)
}
