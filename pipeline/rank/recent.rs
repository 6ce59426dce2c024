//! The newest items that events named, of which negatives are drawn for feedback that no request stands behind.
//!
//! Where a user takes an item outside of requests (a purchase, a click from elsewhere) nothing is known of what he left, and
//! of positives alone nothing is learned. So items are drawn that he might have taken instead, as is the custom (Covington et
//! al. 2016; Yi et al. 2019, whose negatives are the items of other examples nearby): by how often events of all users of the
//! partition named them of late. Counts over a whole log would know what is yet to become popular; what is drawn here stands
//! in the log before the feedback. Items of the user's own history are left out, as for recommenders that learn of what
//! people did alone (Rendle et al. 2009): he took notice of them, and may like them. Only where there is nothing else they
//! are drawn too: of a catalogue that he has seen whole, what he did not take is what he left.
//!
//! What is drawn is a function of the log: of the items, and of who took what when.

use std::collections::HashSet;

use xxhash_rust::xxh3::xxh3_64;

use super::tally::key;

/// Items with longer names are passed over: so many bytes are kept of each at most.
const NAME_BYTES_MAX: usize = 256;

/// The newest items that the events of one by-user partition named, each as often as it was named.
#[derive(Clone, Debug)]
pub struct Recent {
    /// Once there are `max`, the newest takes the place of the oldest.
    names: Vec<String>,
    oldest: usize,
    max: usize,
}

impl Recent {
    /// No item was named yet; so many are kept.
    pub fn new(max: usize) -> Self {
        Self { names: Vec::new(), oldest: 0, max }
    }

    /// An event names an item.
    pub fn named(&mut self, item_id: &str) {
        if item_id.len() > NAME_BYTES_MAX || self.max == 0 {
            return;
        }
        if self.names.len() < self.max {
            return self.names.push(item_id.to_owned());
        }
        let name = &mut self.names[self.oldest];
        name.clear();
        name.push_str(item_id);
        self.oldest = (self.oldest + 1) % self.max;
    }

    /// From the oldest, 0.
    fn at(&self, place: usize) -> &str {
        &self.names[(self.oldest + place) % self.names.len()]
    }

    /// Up to `count` items, each once, for one who took `positive`: none that he has met (xxh3 of their names), unless there
    /// is nothing else. Each is the likelier the more often it was named. The same for the same `seed` and items.
    pub fn draw(&self, count: usize, seed: u64, positive: &str, met: &HashSet<u64>) -> Vec<&str> {
        let positive = key(positive);
        let drawn = self.first(count, seed, |item| item != positive && !met.contains(&item));
        if drawn.is_empty() { self.first(count, seed, |item| item != positive) } else { drawn }
    }

    /// The first `count` different items that pass, on a walk that comes to every place once.
    fn first(&self, count: usize, seed: u64, passes: impl Fn(u64) -> bool) -> Vec<&str> {
        let (mut drawn, mut keys) = (Vec::new(), Vec::new());
        let places = self.names.len();
        if count == 0 || places == 0 {
            return drawn;
        }
        let (start, stride) = ((seed % places as u64) as usize, coprime(places, (seed >> 32) as usize));
        for step in 0..places {
            let name = self.at((start + step * stride) % places);
            let item = key(name);
            if passes(item) && !keys.contains(&item) {
                keys.push(item);
                drawn.push(name);
                if drawn.len() == count {
                    break;
                }
            }
        }
        drawn
    }

    /// All of it, the same bytes for the same items.
    pub fn to_bytes(&self) -> Vec<u8> {
        let names: Vec<&str> = (0..self.names.len()).map(|place| self.at(place)).collect();
        postcard::to_allocvec(&names).expect("plain data becomes bytes")
    }

    /// What [`Recent::to_bytes`] wrote, the newest `max` of it; nothing of nothing.
    ///
    /// # Errors
    /// Where the bytes are something else.
    pub fn from_bytes(max: usize, bytes: &[u8]) -> Result<Self, postcard::Error> {
        let names: Vec<&str> = if bytes.is_empty() { Vec::new() } else { postcard::from_bytes(bytes)? };
        let mut recent = Self::new(max);
        names.iter().skip(names.len().saturating_sub(max)).for_each(|name| recent.named(name));
        Ok(recent)
    }
}

/// The seed of what is drawn for a user who took an item at a time.
pub fn seed(user_id: &str, time_ms: i64, item_id: &str) -> u64 {
    // No name has a byte of 255.
    xxh3_64(&[user_id.as_bytes(), &[255], &time_ms.to_le_bytes(), item_id.as_bytes()].concat())
}

/// The first number from `from` on, modulo `of`, that has no divisor in common with `of`: whoever goes on by it comes by every
/// place.
fn coprime(of: usize, from: usize) -> usize {
    let divisor = |mut a: usize, mut b: usize| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    (0..of).map(|more| (from + more) % of).find(|number| divisor(of, *number) == 1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn of(max: usize, names: &[&str]) -> Recent {
        let mut recent = Recent::new(max);
        names.iter().for_each(|name| recent.named(name));
        recent
    }

    fn met(names: &[&str]) -> HashSet<u64> {
        names.iter().map(|name| key(name)).collect()
    }

    #[test]
    fn nothing_is_drawn_that_is_his_or_old_or_still_to_come() {
        let all: Vec<String> = (0..60).map(|n| format!("i{}", n % 30)).collect();
        let mut recent = Recent::new(8);
        for (n, name) in all.iter().enumerate() {
            recent.named(name);
            let window = &all[(n + 1).saturating_sub(8)..=n];
            for count in 0..9 {
                let drawn = recent.draw(count, seed("u", n as i64, "i3"), "i3", &met(&["i1", "i2"]));
                assert!(drawn.len() <= count && (0..drawn.len()).all(|at| !drawn[..at].contains(&drawn[at])));
                let others = window.iter().filter(|name| !["i1", "i2", "i3"].contains(&name.as_str()));
                let others: HashSet<&str> = others.map(String::as_str).collect();
                assert!(others.is_empty() || drawn.len() == count.min(others.len()), "{drawn:?} of {window:?}");
                for name in drawn {
                    assert!(name != "i3" && window.iter().any(|of| of == name), "{name} of {window:?}");
                    assert!(others.is_empty() || others.contains(name), "{name} is known to him");
                }
            }
        }
    }

    #[test]
    fn what_he_knows_is_drawn_where_there_is_nothing_else() {
        let recent = of(4, &["a", "b", "a", "c"]);
        let mut drawn = recent.draw(5, 7, "b", &met(&["a", "b", "c"]));
        drawn.sort_unstable();
        assert_eq!(drawn, ["a", "c"]);
        assert_eq!(recent.draw(5, 7, "b", &met(&["a"])), ["c"], "one other is enough to leave out what he knows");
        assert!(
            of(4, &["a"]).draw(5, 7, "a", &met(&[])).is_empty() && Recent::new(4).draw(1, 7, "a", &met(&[])).is_empty()
        );
    }

    #[test]
    fn what_is_named_more_often_is_drawn_more_often() {
        let names: Vec<String> = (0..100).map(|n| if n % 10 < 6 { "often".into() } else { format!("i{n}") }).collect();
        let recent = of(100, &names.iter().map(String::as_str).collect::<Vec<_>>());
        let mut times: BTreeMap<&str, u32> = BTreeMap::new();
        for n in 0..4000 {
            let drawn = recent.draw(1, seed("u", n, "x"), "x", &met(&[]));
            *times.entry(drawn[0]).or_default() += 1;
        }
        assert!((2200..2600).contains(&times["often"]), "{times:?}");
        assert_eq!(times.len(), 41, "and each of the others at times");
    }

    #[test]
    fn it_comes_back_from_its_bytes() {
        let names: Vec<String> = (0..23).map(|n| format!("i{n}")).collect();
        let all = of(9, &names.iter().map(String::as_str).collect::<Vec<_>>());
        let back = Recent::from_bytes(9, &all.to_bytes()).unwrap();
        for n in 0..50 {
            let seed = seed("u", n, "i20");
            assert_eq!(back.draw(4, seed, "i20", &met(&["i19"])), all.draw(4, seed, "i20", &met(&["i19"])));
        }
        assert_eq!(back.to_bytes(), all.to_bytes());
        let few = Recent::from_bytes(2, &all.to_bytes()).unwrap();
        assert_eq!(few.to_bytes(), of(2, &["i21", "i22"]).to_bytes(), "the newest");
        assert!(Recent::from_bytes(9, &[]).unwrap().names.is_empty());
        assert!(Recent::from_bytes(9, &all.to_bytes()[..5]).is_err());
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        assert_eq!(of(9, &["a", &long]).to_bytes(), of(9, &["a"]).to_bytes());
    }

    #[test]
    fn a_walk_comes_to_every_place_once() {
        for of in 1..40_usize {
            for from in 0..50 {
                let stride = coprime(of, from);
                let places: HashSet<usize> = (0..of).map(|step| step * stride % of).collect();
                assert_eq!(places.len(), of, "{of} by {stride}");
            }
        }
    }
}
