//! Requests that wait for feedback: what they saw, until it is known what the user took.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use schemas::request::Candidates;

use super::judge::Answered;
use super::sight::Sight;

/// How long requests wait for feedback, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// After so much log time a request waits no more, ms.
    pub wait_ms: i64,
    /// Bytes of all that wait, of one partition; the oldest go first.
    pub bytes_max: usize,
    /// Whether candidates of a request that waits no more, of which nothing was said, were not taken.
    pub rest_is_negative: bool,
}

/// When a request begins to wait: one whose clock is ahead of the log does not make all others old.
pub fn waits_from(asked: &Candidates) -> i64 {
    asked.appended_ms.map_or(asked.time, |appended_ms| asked.time.min(appended_ms))
}

/// A request that waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    /// xxh3 of its user's id.
    user: u64,
    time_ms: i64,
    sight: Arc<Sight>,
    /// (candidates): of which something was said.
    heard: Vec<bool>,
    /// What it was answered, here and now: no part of the state.
    #[serde(skip)]
    answered: Answered,
}

/// The requests of one by-user partition that wait. They are a function of its log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    by_id: HashMap<String, Entry>,
    /// The oldest first.
    order: VecDeque<String>,
    bytes: usize,
    newest_ms: i64,
}

/// What is known of candidates of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// The sample: what the request saw of them, with labels.
    pub sample: Sight,
    /// Their places in the request.
    pub places: Vec<usize>,
    /// What was answered.
    pub answered: Answered,
}

impl Pending {
    /// A request of a user begins to wait, which `answered` will tell the answer of; gives what is known of those that wait no
    /// more. One whose name is there already takes its place.
    pub fn add(
        &mut self,
        request_id: &str,
        (user, time_ms): (u64, i64),
        sight: Arc<Sight>,
        answered: Answered,
        patience: &Patience,
    ) -> Vec<Heard> {
        self.remove(request_id);
        self.newest_ms = self.newest_ms.max(time_ms);
        self.bytes += sight.bytes() + request_id.len();
        let heard = vec![false; sight.len()];
        self.by_id.insert(request_id.to_owned(), Entry { user, time_ms, sight, heard, answered });
        self.order.push_back(request_id.to_owned());
        self.let_go(patience)
    }

    /// Something was said of an item of a request, or of all its items; gives what is known by it, where the request waits and
    /// it was not said before.
    pub fn hear(&mut self, request_id: &str, item_id: Option<&str>, label: bool) -> Option<Heard> {
        let Entry { sight, heard, answered, .. } = self.by_id.get_mut(request_id)?;
        let meant = |at: &usize| item_id.is_none_or(|item_id| sight.item_ids[*at] == item_id) && !heard[*at];
        // An item that stands twice in a request is one answer.
        let most = if item_id.is_some() { 1 } else { usize::MAX };
        let places: Vec<usize> = (0..heard.len()).filter(meant).take(most).collect();
        places.iter().for_each(|&at| heard[at] = true);
        let is_news = !places.is_empty();
        is_news.then(|| Heard { sample: sight.pick(&places, label), places, answered: answered.clone() })
    }

    /// A user is forgotten.
    pub fn forget(&mut self, user: u64) {
        let Self { by_id, order, bytes, .. } = self;
        by_id.retain(|id, entry| {
            let stays = entry.user != user;
            *bytes -= if stays { 0 } else { entry.sight.bytes() + id.len() };
            stays
        });
        order.retain(|id| by_id.contains_key(id));
    }

    fn remove(&mut self, request_id: &str) -> Option<Entry> {
        let entry = self.by_id.remove(request_id)?;
        self.bytes -= entry.sight.bytes() + request_id.len();
        self.order.retain(|id| id != request_id);
        Some(entry)
    }

    fn let_go(&mut self, patience: &Patience) -> Vec<Heard> {
        let mut gone = Vec::new();
        while let Some(oldest) = self.order.front() {
            let waited_ms = self.newest_ms - self.by_id[oldest].time_ms;
            if waited_ms <= patience.wait_ms && self.bytes <= patience.bytes_max {
                break;
            }
            let Entry { sight, heard, answered, .. } = self.by_id.remove(oldest).expect("who is in order waits");
            self.bytes -= sight.bytes() + oldest.len();
            self.order.pop_front();
            let rest: Vec<usize> = (0..heard.len()).filter(|&at| !heard[at]).collect();
            if patience.rest_is_negative && !rest.is_empty() {
                gone.push(Heard { sample: sight.pick(&rest, false), places: rest, answered });
            }
        }
        gone
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// All of it, the same bytes for the same requests.
    pub fn to_bytes(&self) -> Vec<u8> {
        let entries: Vec<(&String, &Entry)> = self.order.iter().map(|id| (id, &self.by_id[id])).collect();
        postcard::to_allocvec(&(self.newest_ms, entries)).expect("plain data becomes bytes")
    }

    /// What [`Pending::to_bytes`] wrote, and the bytes behind it.
    ///
    /// # Errors
    /// Where the bytes are something else.
    pub fn from_bytes(bytes: &[u8]) -> Result<(Self, &[u8]), postcard::Error> {
        let ((newest_ms, entries), rest): ((i64, Vec<(String, Entry)>), _) = postcard::take_from_bytes(bytes)?;
        let mut pending = Self { newest_ms, ..Self::default() };
        for (id, entry) in entries {
            pending.bytes += entry.sight.bytes() + id.len();
            pending.order.push_back(id.clone());
            pending.by_id.insert(id, entry);
        }
        Ok((pending, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(items: &[&str]) -> Sight {
        let item_ids: Vec<String> = items.iter().map(ToString::to_string).collect();
        let categories = vec![String::new(); items.len()];
        Sight {
            inputs: (0..items.len()).map(|n| n as f32).collect(),
            width: 1,
            item_ids,
            categories,
            ..Sight::default()
        }
    }

    fn patience(rest_is_negative: bool) -> Patience {
        Patience { wait_ms: 100, bytes_max: 1 << 20, rest_is_negative }
    }

    fn told(heard: impl IntoIterator<Item = Heard>) -> Vec<(String, bool)> {
        let of = |Heard { sample, places, .. }: Heard| {
            assert_eq!(places.len(), sample.len());
            sample.item_ids.into_iter().zip(sample.labels)
        };
        heard.into_iter().flat_map(of).collect()
    }

    fn add(
        pending: &mut Pending,
        id: &str,
        of: (u64, i64),
        items: &[&str],
        patience: &Patience,
    ) -> Vec<(String, bool)> {
        told(pending.add(id, of, Arc::new(sight(items)), Answered::default(), patience))
    }

    #[test]
    fn each_candidate_is_one_sample() {
        let mut pending = Pending::default();
        let rest = patience(true);
        assert_eq!(add(&mut pending, "r", (1, 0), &["a", "b", "c", "b"], &rest), []);
        let heard = pending.hear("r", Some("b"), true).unwrap();
        assert_eq!((&heard.places[..], told([heard.clone()])), (&[1][..], vec![("b".into(), true)]));
        let again = pending.hear("r", Some("b"), false).unwrap();
        assert_eq!((&again.places[..], told([again.clone()])), (&[3][..], vec![("b".into(), false)]));
        assert_eq!((pending.hear("r", Some("b"), true), pending.hear("x", None, true)), (None, None));
        assert_eq!(add(&mut pending, "s", (2, 100), &["d"], &rest), [], "it may wait as long as this");
        let bytes = [&pending.to_bytes()[..], b"more"].concat();
        let (back, more) = Pending::from_bytes(&bytes).unwrap();
        assert_eq!((back, more), (pending.clone(), &b"more"[..]));
        let gone = add(&mut pending, "t", (2, 101), &["e"], &rest);
        assert_eq!(gone, [("a".into(), false), ("c".into(), false)]);
        assert_eq!(told(pending.hear("s", None, true)), [("d".into(), true)]);
        pending.forget(2);
        assert!(pending.is_empty() && pending.bytes == 0 && pending.order.is_empty());
    }

    #[test]
    fn a_clock_that_is_ahead_makes_nobody_old() {
        let at = |time, appended_ms| waits_from(&Candidates { time, appended_ms, ..Candidates::default() });
        assert_eq!([at(7, None), at(7, Some(9)), at(1 << 50, Some(9))], [7, 7, 9]);
    }

    #[test]
    fn who_is_forgotten_waits_no_more_and_the_others_do() {
        let mut pending = Pending::default();
        for n in 0..20 {
            assert_eq!(add(&mut pending, &format!("r{n}"), (n % 3, 0), &["a"], &patience(false)), []);
        }
        let before = pending.bytes;
        pending.forget(1);
        assert_eq!((pending.len(), pending.order.len()), (13, 13));
        assert!(pending.bytes < before && pending.order.iter().all(|id| pending.by_id.contains_key(id)));
        [0, 2].into_iter().for_each(|user| pending.forget(user));
        assert!(pending.is_empty() && pending.bytes == 0 && pending.order.is_empty());
    }

    #[test]
    fn what_waits_is_bounded() {
        let (mut pending, few) = (Pending::default(), Patience { bytes_max: 2000, ..patience(false) });
        for n in 0..100 {
            let gone = add(&mut pending, &format!("r{n}"), (n, 0), &["a"], &few);
            assert_eq!(gone, [], "the rest is nothing");
            assert!(pending.bytes <= 2000);
        }
        assert!(
            pending.len() > 2 && pending.hear("r99", None, true).is_some() && pending.hear("r0", None, true).is_none()
        );
    }
}
