//! Seeded input streams with what goes wrong in real ones: disorder, ties, duplicates, relational events, bad bytes.

/// A small generator of numbers; the same on every machine.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Lines of events in about the order of time, and how many of them are dead letters.
pub fn events(seed: u64, count: usize, users: u64) -> (Vec<Vec<u8>>, u64) {
    let mut dice = Dice(seed);
    let (mut now, mut lines, mut dead) = (1_700_000_000_000_i64, Vec::<Vec<u8>>::new(), 0);
    for n in 0..count {
        now += dice.below(3000) as i64;
        let time = now - if dice.one_in(5) { dice.below(40_000) as i64 } else { 0 };
        let user = dice.below(users) * dice.below(users) / users;
        let mut event = serde_json::json!({"user_id": format!("u{user}"), "time": time});
        event["type"] = ["click", "click", "view", "buy"][dice.below(4) as usize].into();
        if !dice.one_in(5) {
            event["item_id"] = format!("i{}", dice.below(300)).into();
        }
        if dice.one_in(2) {
            event["value"] = (dice.below(10_000) as f64 / 100.0).into();
            event["event_id"] = format!("e{n}").into();
        }
        if dice.one_in(5) {
            event["other_id"] = format!("u{}", dice.below(users)).into();
        }
        let mut line = serde_json::to_vec(&event).unwrap();
        if dice.one_in(50) && !lines.is_empty() {
            line = lines[lines.len() - 1 - dice.below(lines.len().min(20) as u64) as usize].clone();
        } else if dice.one_in(60) {
            line.truncate(line.len() / 2);
        }
        dead += u64::from(serde_json::from_slice::<serde_json::Value>(&line).is_err());
        lines.push(line);
    }
    (lines, dead)
}

/// Unit vectors of the items of [`events`], as lines of `items`; every twentieth has none.
pub fn items(dim: usize) -> Vec<Vec<u8>> {
    let mut dice = Dice(77);
    let item = |n: u64| {
        let raw: Vec<f64> = (0..dim).map(|_| dice.below(2001) as f64 - 1000.0).collect();
        let norm = raw.iter().map(|x| x * x).sum::<f64>().sqrt();
        let vector = (!n.is_multiple_of(20)).then(|| raw.iter().map(|x| x / norm).collect::<Vec<_>>());
        serde_json::to_vec(&serde_json::json!({"item_id": format!("i{n}"), "vector": vector})).unwrap()
    };
    (0..300).map(item).collect()
}
