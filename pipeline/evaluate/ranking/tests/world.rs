//! A world whose truth is known: every user has a few lasting interests, and clicks what belongs to them.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use shaders::ranking::SaTa;

use crate::evaluate::ranking::interest::Hash;
use crate::evaluate::ranking::keys::Source;
use crate::evaluate::ranking::log::{Behavior, Items, Labelled, Log};
use crate::evaluate::ranking::{Options, Report, evaluate};

/// Interests, and items of each.
const INTERESTS: u64 = 20;
const ITEMS: u64 = 10;
const DIM: usize = 32;

/// Chance as the tests need it.
pub struct Dice(ChaCha8Rng);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0.next_u64() % n
    }

    fn centered(&mut self) -> f32 {
        (0..4).map(|_| self.below(1000) as f32 / 1000.0 - 0.5).sum()
    }
}

/// Items of one interest lie together; their category tells it four times of five.
fn items(dice: &mut Dice) -> Items {
    let centers: Vec<f32> = (0..INTERESTS as usize * DIM).map(|_| dice.centered()).collect();
    let mut items = Items { dim: DIM, ..Items::default() };
    for item in 0..INTERESTS * ITEMS {
        let interest = item / ITEMS;
        items.names.push(format!("i{item}").into());
        let told = if dice.below(5) > 0 { interest } else { dice.below(INTERESTS) };
        items.categories.push(told as u32 + 1);
        let center = &centers[interest as usize * DIM..][..DIM];
        items.vectors.extend(center.iter().map(|x| x + 0.4 * dice.centered()));
    }
    items
}

/// Users of three lasting interests out of twenty; what they do now is anything, but every fifth time it is one of the
/// three. They click 70 % of what is of those, and 10 % of the rest.
pub fn world(users: u32, behaviors: u64, requests: u64, seed: u64) -> Log {
    let mut dice = Dice::new(seed);
    let items = items(&mut dice);
    let (mut acts, mut asked) = (Vec::new(), Vec::new());
    for user in 0..users {
        let own: Vec<u64> = (0..3).map(|_| dice.below(INTERESTS)).collect();
        let item = |dice: &mut Dice, lasting: bool| {
            let interest = if lasting { own[dice.below(3) as usize] } else { dice.below(INTERESTS) };
            (interest * ITEMS + dice.below(ITEMS)) as u32
        };
        for n in 0..behaviors {
            let lasting = dice.below(5) == 0;
            let time_ms = (n * 1000 + dice.below(900)) as i64;
            acts.push((user, Behavior { time_ms, item: item(&mut dice, lasting), action: 1 + n as u32 % 2 }));
        }
        for n in 0..requests {
            let time_ms = ((behaviors / 3 + n * (behaviors * 2 / 3) / requests) * 1000 + dice.below(1000)) as i64;
            let items: Vec<u32> = (0..8)
                .map(|_| {
                    let lasting = dice.below(3) == 0;
                    item(&mut dice, lasting)
                })
                .collect();
            let clicked = |item: &u32| dice.below(10) < if own.contains(&(u64::from(*item) / ITEMS)) { 7 } else { 1 };
            let labels = items.iter().map(clicked).collect();
            asked.push(Labelled { user, time_ms, items, labels, features: Vec::new() });
        }
    }
    Log::new(items, 2, Vec::new(), acts, asked, Vec::new()).unwrap()
}

pub fn options(rows: &[&str]) -> Options {
    Options {
        history_max: 2048,
        vectors: Source::Topic,
        hash: Hash { bits: 48, group_bits: 3 },
        sa_ta: SaTa::Released,
        epochs: 3,
        rows: rows.iter().map(|row| (*row).to_owned()).collect(),
        seed: 7,
    }
}

fn auc(report: &Report, name: &str) -> f64 {
    report.models.iter().find(|(of, _)| of == name).expect("a row of this name").1.auc
}

#[test]
fn long_interest_is_found_where_it_is_the_truth() {
    let log = world(240, 240, 6, 3);
    let rows = ["popularity", "blend", "target_attention_50", "target_attention_all", "sdim", "muse"];
    let report = evaluate(&log, &shaders::Device::Cpu, &options(&rows)).unwrap();
    assert!((0.45..0.55).contains(&auc(&report, "popularity")), "nothing is popular here: {report}");
    for name in ["target_attention_all", "sdim", "muse"] {
        assert!(auc(&report, name) > 0.65, "{name} sees the lasting interests: {report}");
    }
    let best = ["target_attention_all", "sdim", "muse"].map(|name| auc(&report, name)).into_iter().fold(0.0, f64::max);
    assert!(best > auc(&report, "blend") && best > auc(&report, "target_attention_50"), "{report}");
    // Again, to the same bits.
    let again = evaluate(&log, &shaders::Device::Cpu, &options(&["sdim"])).unwrap();
    assert_eq!(auc(&again, "sdim"), auc(&report, "sdim"));
    assert_eq!(again.models.len(), 1);
    let paper = evaluate(&log, &shaders::Device::Cpu, &Options { sa_ta: SaTa::Paper, ..options(&["muse"]) }).unwrap();
    assert!(auc(&paper, "muse") > 0.65 && auc(&paper, "muse") != auc(&report, "muse"), "another form: {paper}");
}

#[test]
fn co_occurrence_stands_in_where_nobody_brings_vectors() {
    let mut log = world(240, 240, 6, 3);
    log.items.dim = 0;
    log.items.vectors.clear();
    let report = evaluate(&log, &shaders::Device::Cpu, &options(&["content_cosine"])).unwrap();
    assert_eq!(report.vectors, "co-occurrence");
    assert!(auc(&report, "content_cosine") > 0.55, "items of one interest stand together: {report}");
}
