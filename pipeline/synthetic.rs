//! Synthetic users with known truth, for `demo` and `bench`: the same seed gives the same bytes.
//!
//! Each user has a favorite category and a few friends, both hashes of the seed and his number. He comes in sessions,
//! mostly for items of his favorite category, now and then buys one, and sends money to his friends. Users are drawn by
//! Zipf(1.0), items of a category too.
//!
//! # Layout
//! - [`regimes`]: users whose times and types come from a known process, with changes of regime.

pub mod regimes;

use std::fmt::Write;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// What the synthetic world is like.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Decides everything.
    pub seed: u64,
    /// Users, at least 2.
    pub users: usize,
    /// Items of each category, at least 1.
    pub items: usize,
    /// Categories, at least 1.
    pub categories: usize,
    /// Share of events that are transfers between users.
    pub relational: f64,
    /// Time of the first event, in ms since 1970.
    pub start_ms: i64,
    /// Mean time between events of all users, in ms.
    pub gap_ms: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 42,
            users: 10_000,
            items: 200,
            categories: 32,
            relational: 0.15,
            start_ms: 1_767_225_600_000,
            gap_ms: 20.0,
        }
    }
}

/// Sessions that run at once.
const SESSIONS: usize = 64;
/// Share of a session's events that stay in the favorite category.
const FAVORITE: f64 = 0.8;
/// Friends of a user.
const FRIENDS: u64 = 4;

/// An endless stream of events, in order of time.
pub struct Synthetic {
    settings: Settings,
    random: ChaCha8Rng,
    users: Zipf,
    items: Zipf,
    /// Users in the middle of a session, each with the events left of it.
    sessions: Vec<(usize, u32)>,
    time_ms: f64,
    count: u64,
}

impl Synthetic {
    /// The world of `settings`, at its beginning.
    pub fn new(settings: Settings) -> Self {
        Self {
            random: ChaCha8Rng::seed_from_u64(settings.seed),
            users: Zipf::new(settings.users),
            items: Zipf::new(settings.items),
            sessions: Vec::with_capacity(SESSIONS),
            time_ms: 0.0,
            count: 0,
            settings,
        }
    }

    /// The category that `user` likes best.
    pub fn favorite(&self, user: usize) -> usize {
        (mix(self.settings.seed, user as u64) % self.settings.categories as u64) as usize
    }

    /// A friend of `user`, one of four, never himself.
    pub fn friend(&self, user: usize, which: u64) -> usize {
        let hash = mix(self.settings.seed ^ 0x5eed, user as u64 * FRIENDS + which % FRIENDS);
        (user + 1 + (hash % (self.settings.users as u64 - 1)) as usize) % self.settings.users
    }

    /// Appends the next event to `line`, as JSON without a newline.
    pub fn event(&mut self, line: &mut Vec<u8>) {
        let gap = -(1.0 - unit(&mut self.random)).ln() * self.settings.gap_ms;
        self.time_ms += gap;
        self.count += 1;
        let user = self.visitor();
        let text = self.text(user);
        line.extend_from_slice(text.as_bytes());
    }

    /// The user of the next event: one who is in a session, or one who begins one.
    fn visitor(&mut self) -> usize {
        let slot = (self.random.next_u32() as usize) % SESSIONS;
        if slot >= self.sessions.len() {
            let user = self.users.draw(&mut self.random);
            let events = 2 + self.random.next_u32() % 20;
            self.sessions.push((user, events));
            return user;
        }
        let (user, left) = &mut self.sessions[slot];
        *left -= 1;
        let user = *user;
        if self.sessions[slot].1 == 0 {
            self.sessions.swap_remove(slot);
        }
        user
    }

    fn text(&mut self, user: usize) -> String {
        let time = self.settings.start_ms + self.time_ms as i64;
        let id = mix(self.settings.seed ^ 0xe7e7, self.count);
        let mut text = format!("{{\"user_id\":\"u{user}\",\"time\":{time},\"event_id\":\"{id:016x}\"");
        if unit(&mut self.random) < self.settings.relational {
            let which = u64::from(self.random.next_u32());
            let other = self.friend(user, which);
            let amount = 1.0 + (unit(&mut self.random) * 20_000.0).floor() / 100.0;
            let _ = write!(
                text,
                ",\"type\":\"transfer\",\"other_id\":\"u{other}\",\"value\":{amount},\"channel\":\"app\"}}"
            );
            return text;
        }
        let item = self.choice(user);
        let chance = unit(&mut self.random);
        let kind = if chance < 0.6 {
            "view"
        } else if chance < 0.9 {
            "click"
        } else {
            "buy"
        };
        self.describe(kind, item, &mut text);
        text.push_str(",\"channel\":\"app\"}");
        text
    }

    /// The item that `user` looks at now.
    fn choice(&mut self, user: usize) -> usize {
        let category = if unit(&mut self.random) < FAVORITE {
            self.favorite(user)
        } else {
            self.random.next_u32() as usize % self.settings.categories
        };
        category * self.settings.items + self.items.draw(&mut self.random)
    }

    /// Appends what he does with it.
    fn describe(&self, kind: &str, item: usize, text: &mut String) {
        let category = item / self.settings.items;
        let _ = write!(text, ",\"type\":\"{kind}\",\"item_id\":\"i{item}\",\"category\":\"c{category}\"");
        if kind == "buy" {
            let (price, merchant) = (price(self.settings.seed, item), category * 8 + item % 8);
            let _ = write!(text, ",\"value\":{price},\"merchant_id\":\"m{merchant}\"");
        }
    }

    /// How many items there are.
    pub fn items(&self) -> usize {
        self.settings.items * self.settings.categories
    }

    /// Appends item `item` with a unit vector of length `dim` to `line`, as JSON without a newline; items of one
    /// category lie close together.
    pub fn item(&self, item: usize, dim: usize, line: &mut Vec<u8>) {
        let category = item / self.settings.items;
        let mut center = ChaCha8Rng::seed_from_u64(mix(self.settings.seed ^ 0xca7e, category as u64));
        let mut own = ChaCha8Rng::seed_from_u64(mix(self.settings.seed ^ 0x17e3, item as u64));
        let values: Vec<f64> = (0..dim).map(|_| normal(&mut center) + 0.5 * normal(&mut own)).collect();
        let norm = values.iter().map(|x| x * x).sum::<f64>().sqrt();
        let vector: Vec<f32> = values.iter().map(|x| (x / norm) as f32).collect();
        let record = serde_json::json!({
            "item_id": format!("i{item}"), "category": format!("c{category}"), "vector": vector,
        });
        line.extend_from_slice(record.to_string().as_bytes());
    }
}

/// A world that gives events, and the vectors of its items.
pub trait World: Send {
    /// How many items there are.
    fn items(&self) -> usize;
    /// Appends an item with a vector of length `dim`, as JSON without a newline.
    fn item(&self, item: usize, dim: usize, line: &mut Vec<u8>);
    /// Appends the next event, as JSON without a newline.
    fn event(&mut self, line: &mut Vec<u8>);
}

impl World for Synthetic {
    fn items(&self) -> usize {
        self.items()
    }

    fn item(&self, item: usize, dim: usize, line: &mut Vec<u8>) {
        self.item(item, dim, line);
    }

    fn event(&mut self, line: &mut Vec<u8>) {
        self.event(line);
    }
}

impl Iterator for Synthetic {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::with_capacity(224);
        self.event(&mut line);
        Some(line)
    }
}

/// Numbers below n, number i with a share of 1 / (i + 1).
pub struct Zipf(Vec<f64>);

impl Zipf {
    /// Numbers below `n`.
    pub fn new(n: usize) -> Self {
        let mut sum = 0.0;
        Self(
            (1..=n)
                .map(|rank| {
                    sum += 1.0 / rank as f64;
                    sum
                })
                .collect(),
        )
    }

    /// One of them.
    pub fn draw(&self, random: &mut ChaCha8Rng) -> usize {
        let all = self.0.last().copied().unwrap_or(0.0);
        let at = unit(random) * all;
        self.0.partition_point(|sum| *sum <= at).min(self.0.len() - 1)
    }
}

/// A price that is the item's own.
fn price(seed: u64, item: usize) -> f64 {
    (100 + mix(seed ^ 0x9, item as u64) % 9900) as f64 / 100.0
}

/// From 0 to below 1, 53 bits.
fn unit(random: &mut ChaCha8Rng) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Near enough to a normal deviate: twelve uniform ones less their mean.
fn normal(random: &mut ChaCha8Rng) -> f64 {
    (0..12).map(|_| unit(random)).sum::<f64>() - 6.0
}

/// SplitMix64 of two numbers.
fn mix(seed: u64, number: u64) -> u64 {
    let mut z = seed.wrapping_add((number.wrapping_add(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn lines(seed: u64, n: usize) -> Vec<Vec<u8>> {
        Synthetic::new(Settings { seed, users: 1000, ..Settings::default() }).take(n).collect()
    }

    #[test]
    fn one_seed_gives_the_same_bytes() {
        assert_eq!(lines(1, 500), lines(1, 500));
        assert_ne!(lines(1, 500), lines(2, 500));
    }

    #[test]
    fn events_are_as_promised() {
        let (world, n) = (Synthetic::new(Settings { seed: 1, users: 1000, ..Settings::default() }), 20_000);
        let (mut ids, mut before, mut relational, mut liked, mut first) = (HashSet::new(), 0, 0, 0, 0);
        for line in lines(1, n) {
            let event: serde_json::Value = serde_json::from_slice(&line).unwrap();
            let user: usize = event["user_id"].as_str().unwrap()[1..].parse().unwrap();
            let time = event["time"].as_i64().unwrap();
            assert!(time >= before && ids.insert(event["event_id"].to_string()), "{event}");
            before = time;
            first += usize::from(user == 0);
            if let Some(other) = event["other_id"].as_str() {
                relational += 1;
                assert!(
                    (0..4).any(|which| format!("u{}", world.friend(user, which)) == other && other != event["user_id"])
                );
            } else {
                liked += usize::from(event["category"] == format!("c{}", world.favorite(user)));
            }
        }
        let share = |part: usize, whole: usize| part as f64 / whole as f64;
        assert!((0.1..0.2).contains(&share(relational, n)), "{relational} relational");
        assert!((0.75..0.9).contains(&share(liked, n - relational)), "{liked} liked");
        // Zipf(1.0) over 1000 users gives the first 13 %.
        assert!((0.08..0.20).contains(&share(first, n)), "{first} of the first user");
    }

    #[test]
    fn items_have_unit_vectors_close_to_their_category() {
        let world = Synthetic::new(Settings::default());
        let vector = |item| {
            let mut line = Vec::new();
            world.item(item, 16, &mut line);
            let record: serde_json::Value = serde_json::from_slice(&line).unwrap();
            record["vector"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect::<Vec<f64>>()
        };
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
        let (a, same, other) = (vector(0), vector(1), vector(200 * 7));
        assert!((dot(&a, &a) - 1.0).abs() < 1e-6);
        assert!(dot(&a, &same) > dot(&a, &other) + 0.2);
    }
}
