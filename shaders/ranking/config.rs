//! The settings of a model, and the tensors that follow from them.

use crate::Error;
use crate::ops::Tensors;

/// What the tower knows of a user's long history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Long {
    /// Nothing beyond the newest behaviors.
    #[default]
    None,
    /// The mean of all keys, read by the caller.
    Mean,
    /// Target attention over all behaviors (DIN, Zhou et al. 2018).
    All,
    /// Target attention over behaviors that a search found by category (SIM, Qi et al. 2020).
    Hard,
    /// What the caller read from the user's hash tables (SDIM, Chen et al. 2022).
    Sdim,
    /// Attention over behaviors that a search found by content, aware of their similarity, and how many there are of
    /// each similarity (MUSE, 2025).
    Muse,
}

/// How attention is aware of similarity (spec muse 2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SaTa {
    /// As in the released code: silu projections with biases, similarities over a learned temperature, 1e-7 added to
    /// every weight.
    #[default]
    Released,
    /// As in the paper: linear projections, products over the root of the width.
    Paper,
}

/// The sizes of a model and what it is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// What it knows of the long history.
    pub long: Long,
    /// Width of the frozen keys, d.
    pub dim: usize,
    /// Numbers that come with each candidate: live counters, features of request and item.
    pub inputs: usize,
    /// Rows of the item embedding; row 0 stands for unknown items and is zero.
    pub items: usize,
    /// Rows of the category embedding; row 0 stands for unknown categories and is zero.
    pub categories: usize,
    /// Action types; 0 stands for unknown ones.
    pub actions: usize,
    /// Width of the item embedding; 0 leaves it out.
    pub item_width: usize,
    /// Width of the category embedding; 0 leaves it out.
    pub category_width: usize,
    /// Width of the embedding of action types, which stands beside the keys in what attention sums; 0 leaves it out.
    pub action_width: usize,
    /// How many of the newest behaviors are the short interest; 0 leaves it out.
    pub short: usize,
    /// Widths of the tower's hidden layers.
    pub hidden: [usize; 2],
    /// The part of the tower's vectors that is left out of a training step.
    pub dropout: f64,
    /// The form of MUSE's attention.
    pub sa_ta: SaTa,
    /// All that is random comes of it.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            long: Long::None,
            dim: 64,
            inputs: 0,
            items: 1,
            categories: 1,
            actions: 1,
            item_width: 32,
            category_width: 16,
            action_width: 8,
            short: 50,
            hidden: [128, 64],
            dropout: 0.3,
            sa_ta: SaTa::Released,
            seed: 1,
        }
    }
}

/// Ages of behaviors are told apart by powers of two: 0, 1..2, 3..6, ... and 4,095 or more.
pub(super) const AGES: usize = 13;
/// Tiers of similarity, -1 to 1 in steps of 0.1, and one for what rounding makes larger than 1.
pub const TIERS: usize = 22;
/// SimTier counts what was found, and the newest behaviors.
pub(super) const TIER_COLUMNS: usize = 2 * TIERS;

impl Long {
    /// Whether it needs behaviors beyond the newest.
    pub fn needs_behaviors(self) -> bool {
        matches!(self, Long::All | Long::Hard | Long::Muse)
    }

    /// Whether it needs what was found for each candidate.
    pub fn needs_found(self) -> bool {
        matches!(self, Long::Hard | Long::Muse)
    }

    /// Whether it needs a vector that was read for each candidate.
    pub fn needs_reads(self) -> bool {
        matches!(self, Long::Mean | Long::Sdim)
    }
}

impl Config {
    /// Columns of what attention sums: key and action.
    pub(super) fn value(&self) -> usize {
        self.dim + self.action_width
    }

    /// Columns of the vectors of the tower's input, on which dropout works.
    pub(super) fn vectors(&self) -> usize {
        let short = if self.short > 0 { self.value() + self.dim } else { 0 };
        let long = match self.long {
            Long::None => 0,
            Long::Mean | Long::Sdim => 2 * self.dim,
            Long::All | Long::Hard | Long::Muse => self.value() + self.dim,
        };
        self.item_width + self.category_width + short + long
    }

    /// Columns of the tower's input.
    pub(super) fn tower(&self) -> usize {
        let similarities = 2 * (usize::from(self.short > 0) + usize::from(self.long != Long::None));
        let tiers = if self.long == Long::Muse { TIER_COLUMNS } else { 0 };
        self.vectors() + similarities + tiers + self.dim + self.inputs
    }

    /// All tensors but the embeddings of items and categories.
    pub(super) fn tensors(&self) -> Tensors {
        let mut tensors = Tensors::default();
        if self.action_width > 0 {
            tensors.add("action.embedding", self.actions, self.action_width);
        }
        let attends = [("short", self.short > 0), ("long", matches!(self.long, Long::All | Long::Hard))];
        for (part, _) in attends.into_iter().filter(|(_, there)| *there) {
            tensors.add(format!("{part}.query.weight"), self.dim, self.dim);
            tensors.add(format!("{part}.key.weight"), self.dim, self.dim);
            tensors.add(format!("{part}.scale"), 1, 1);
            tensors.add(format!("{part}.age"), AGES, 1);
        }
        if self.long == Long::Muse {
            for (name, width) in [("query", self.dim), ("key", self.dim), ("value", self.value())] {
                tensors.add(format!("long.{name}.weight"), width, width);
                if self.sa_ta == SaTa::Released {
                    tensors.add(format!("long.{name}.bias"), 1, width);
                }
            }
            tensors.add("long.coefficients", 1, if self.sa_ta == SaTa::Released { 4 } else { 3 });
            tensors.add("tiers.weight", 1, TIER_COLUMNS);
        }
        let [first, second] = self.hidden;
        for (n, (inputs, outputs)) in [(self.tower(), first), (first, second), (second, 1)].into_iter().enumerate() {
            tensors.add(format!("tower.{n}.weight"), inputs, outputs);
            tensors.add(format!("tower.{n}.bias"), 1, outputs);
        }
        tensors
    }

    /// # Errors
    /// [`Error::Shape`] that names the setting.
    pub(super) fn check(&self) -> Result<(), Error> {
        let wrong = |what: &str| Err(Error::Shape(format!("a ranking model cannot be built: {what}")));
        if self.dim == 0 || self.hidden.contains(&0) {
            return wrong("dim and hidden must be at least 1");
        }
        if self.items == 0 || self.categories == 0 || self.actions == 0 {
            return wrong("items, categories and actions must be at least 1: row 0 stands for the unknown");
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return wrong("dropout must be at least 0 and below 1");
        }
        Ok(())
    }
}
