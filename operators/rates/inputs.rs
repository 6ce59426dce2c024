//! What a model is told of a candidate.

use super::{Rates, UserRates};

/// The inputs of a candidate by name, in their order.
///
/// | input | value |
/// |---|---|
/// | `popularity` | ln(1 + behaviors with the item) |
/// | `clicks` | ln(1 + clicks on the item) |
/// | `shown` | ln(1 + times it was shown) |
/// | `item_rate` | log odds of (clicked + 20 p) / (shown + 20), with p the rate of all items |
/// | `transition` | ln((c + 5 s) / (r + 5)): c of the r behaviors after the user's last item were with this one, s is its share of all behaviors |
/// | `repeat` | 1 where the item is in the user's history |
/// | `repeat_age` | 1 / (1 + behaviors since then) |
/// | `user_rate` | log odds of (clicked + 5 p) / (shown + 5) of the user |
/// | `history` | ln(1 + behaviors of the user) / 4 |
/// | `cosine_max` | the largest cosine of the item's vector with those of the history |
/// | `cosine_mean` | their mean |
pub const INPUTS: [&str; 11] = [
    "popularity",
    "clicks",
    "shown",
    "item_rate",
    "transition",
    "repeat",
    "repeat_age",
    "user_rate",
    "history",
    "cosine_max",
    "cosine_mean",
];

/// Candidates that stand behind the rate of all, for an item.
const ITEM_PRIOR: f64 = 20.0;
/// The same for a user.
const USER_PRIOR: f64 = 5.0;
/// Transitions that stand behind the item's share.
const TRANSITION_PRIOR: f64 = 5.0;

/// What the counters do not know of a candidate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Candidate {
    /// Which item.
    pub item: u64,
    /// Behaviors of the user since his last one with this item; none where his history has none.
    pub last_seen: Option<u32>,
    /// The largest cosine with the part of the history that is looked at; 0 where there are no vectors.
    pub cosine_max: f32,
    /// The mean of the cosines.
    pub cosine_mean: f32,
}

impl Rates {
    /// Appends the [`INPUTS`] of a candidate, as the counters stand.
    pub fn inputs(&self, user: &UserRates, candidate: &Candidate, out: &mut Vec<f32>) {
        let item = self.item(candidate.item);
        let totals = self.totals();
        let rate = (totals.clicked as f64 + 1.0) / (totals.shown.max(totals.clicked) as f64 + 2.0);
        let share =
            (f64::from(item.behaviors) + 0.5) / (totals.behaviors as f64 + 0.5 * (self.items() as f64).max(1.0));
        let (transitions, followed) = match user.last_item {
            Some(last) => (self.transition(last, candidate.item), self.item(last).followed),
            None => (0, 0),
        };
        // Pairs and items are forgotten apart; a share is never more than one.
        let transitions = transitions.min(followed);
        let transition = (f64::from(transitions) + TRANSITION_PRIOR * share) / (f64::from(followed) + TRANSITION_PRIOR);
        let inputs: [f64; INPUTS.len()] = [
            f64::from(item.behaviors).ln_1p(),
            f64::from(item.clicked).ln_1p(),
            f64::from(item.shown).ln_1p(),
            log_odds(item.clicked, item.shown, rate, ITEM_PRIOR),
            transition.ln(),
            f64::from(u8::from(candidate.last_seen.is_some())),
            candidate.last_seen.map_or(0.0, |age| 1.0 / (1.0 + f64::from(age))),
            log_odds(user.clicked, user.shown, rate, USER_PRIOR),
            f64::from(user.behaviors).ln_1p() / 4.0,
            f64::from(candidate.cosine_max),
            f64::from(candidate.cosine_mean),
        ];
        out.extend(inputs.map(|input| input as f32));
    }
}

/// Log odds of a rate that begins at `rate`. A click without a candidate counts as one with.
fn log_odds(clicked: u32, shown: u32, rate: f64, prior: f64) -> f64 {
    let (clicked, shown) = (f64::from(clicked), f64::from(shown.max(clicked)));
    ((clicked + prior * rate) / (shown - clicked + prior * (1.0 - rate))).ln()
}
