//! What a task counts: of its items, and of its users.

use operators::rates::{Generations, Limits, Rates, RatesError, UserRates};
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a user, as they are written.
const USER_BYTES: usize = 8 + 3 * 4 + 1 + 8;

/// The key of an item or a user among the counters.
pub fn key(id: &str) -> u64 {
    xxh3_64(id.as_bytes())
}

/// The counters of one by-user partition. They are a function of its log.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Of items.
    pub rates: Rates,
    users: Generations<u64, UserRates>,
}

/// How much a tally keeps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// Of items.
    pub items: Limits,
    /// Users.
    pub users_max: usize,
}

impl Tally {
    /// Nothing has happened.
    pub fn new(bounds: Bounds) -> Self {
        Self { rates: Rates::new(bounds.items), users: Generations::new(bounds.users_max) }
    }

    /// A user did something, with an item or without.
    pub fn behavior(&mut self, user: u64, item_id: Option<&str>) {
        self.rates.behavior(self.users.touch(user), item_id.map(key));
    }

    /// A user was shown an item, and took it or not.
    pub fn feedback(&mut self, user: u64, item: u64, label: bool) {
        let user = self.users.touch(user);
        self.rates.shown(user, item);
        if label {
            self.rates.clicked(user, item);
        }
    }

    /// What a user did; nothing where he is not known.
    pub fn user(&self, user: u64) -> UserRates {
        self.users.get(user)
    }

    /// Forgets a user; what he did stays counted of the items.
    pub fn forget(&mut self, user: u64) {
        self.users.remove(user);
    }

    /// All of it, the same bytes for the same counters.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + self.users.len() * USER_BYTES);
        for generation in [&self.users.older, &self.users.newer] {
            out.extend((generation.len() as u64).to_le_bytes());
            let mut users: Vec<_> = generation.iter().collect();
            users.sort_unstable_by_key(|(user, _)| **user);
            for (user, UserRates { behaviors, shown, clicked, last_item }) in users {
                out.extend(user.to_le_bytes());
                [behaviors, shown, clicked].iter().for_each(|count| out.extend(count.to_le_bytes()));
                out.push(u8::from(last_item.is_some()));
                out.extend(last_item.unwrap_or_default().to_le_bytes());
            }
        }
        out.extend(self.rates.to_bytes());
        out
    }

    /// What [`Tally::to_bytes`] wrote.
    ///
    /// # Errors
    /// Where the bytes are something else.
    pub fn from_bytes(bounds: Bounds, bytes: &[u8]) -> Result<Self, RatesError> {
        let (mut tally, mut rest) = (Self::new(bounds), bytes);
        for generation in [&mut tally.users.older, &mut tally.users.newer] {
            let short = RatesError::Length(16, bytes.len());
            let (count, after) = rest.split_first_chunk::<8>().ok_or(short)?;
            let length = u64::from_le_bytes(*count).saturating_mul(USER_BYTES as u64);
            let short = RatesError::Length(length.saturating_add(8) as usize, bytes.len());
            let (users, after) = usize::try_from(length).ok().and_then(|at| after.split_at_checked(at)).ok_or(short)?;
            generation.extend(users.chunks_exact(USER_BYTES).map(|user| {
                let u32_at = |at: usize| u32::from_le_bytes(user[at..at + 4].try_into().expect("4 bytes"));
                let u64_at = |at: usize| u64::from_le_bytes(user[at..at + 8].try_into().expect("8 bytes"));
                let last_item = (user[20] == 1).then(|| u64_at(21));
                (u64_at(0), UserRates { behaviors: u32_at(8), shown: u32_at(12), clicked: u32_at(16), last_item })
            }));
            rest = after;
        }
        tally.rates = Rates::from_bytes(bounds.items, rest)?;
        Ok(tally)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_comes_back_from_its_bytes() {
        let bounds = Bounds { items: Limits::default(), users_max: 4 };
        let mut tally = Tally::new(bounds);
        for (user, item) in [(1, Some("a")), (2, None), (1, Some("b")), (3, Some("a"))] {
            tally.behavior(user, item);
        }
        tally.feedback(1, key("b"), true);
        tally.feedback(9, key("a"), false);
        tally.forget(3);
        let bytes = tally.to_bytes();
        let back = Tally::from_bytes(bounds, &bytes).unwrap();
        assert_eq!(back.to_bytes(), bytes);
        let user = back.user(1);
        assert_eq!((user.behaviors, user.shown, user.clicked, user.last_item), (2, 1, 1, Some(key("b"))));
        for user in 10..14 {
            tally.behavior(user, None);
        }
        assert_eq!(
            (tally.user(1), tally.user(13).behaviors),
            (UserRates::default(), 1),
            "as many as are kept, the newest"
        );
        assert_eq!((back.user(3), back.rates.item(key("a")).behaviors), (UserRates::default(), 2));
        assert_eq!(back.rates.transition(key("a"), key("b")), 1);
        for end in 0..bytes.len() {
            assert!(Tally::from_bytes(bounds, &bytes[..end]).is_err(), "cut at {end}");
        }
    }
}
