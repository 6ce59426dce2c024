//! What scoring the candidates of one user costs, part by part, ready to be timed: on one thread of the CPU, of random
//! vectors of 64 components.

use crate::random::{gaussian, generator};
use crate::ranking::{self, Examples, Long, Model};
use crate::{Device, Error, muse, sdim};

/// Components of vectors.
const DIM: usize = 64;
/// Bytes that are copied: no cache holds them.
const COPY_BYTES: usize = 256 << 20;
/// Bytes of an event that a search reads: its vector, and one over its length.
const EVENT_BYTES: usize = DIM + 4;

/// Something to be timed.
pub struct Case {
    /// What it is.
    pub name: &'static str,
    /// Events of the user's history.
    pub length: usize,
    /// Candidates that are scored.
    pub candidates: usize,
    /// What is done in a run, where it is to be told as so much a second.
    pub amount: Option<Amount>,
    /// Does it once.
    pub run: Box<dyn FnMut() -> Result<(), Error>>,
}

/// What is done in a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Amount {
    /// So many bytes of history are read, or copied.
    Bytes(usize),
    /// So many events change a table.
    Events(usize),
}

/// What a [`Case`] is made of.
type Make = Box<dyn FnOnce() -> Result<Case, Error>>;

/// All that is timed, for `candidates` candidates; a case takes its memory when it is asked for.
pub fn cases(candidates: usize) -> impl Iterator<Item = Result<Case, Error>> {
    let mut all: Vec<Make> = Vec::new();
    for length in [64, 256, 1024, 4096, 16_384] {
        let paper = sdim::Config::new(DIM, 1);
        all.push(Box::new(move || read("sdim read", paper, length, candidates)));
    }
    for length in [1024, 16_384] {
        let sharp = sdim::Config { bits: 96, group_bits: 6, ..sdim::Config::new(DIM, 1) };
        all.push(Box::new(move || read("sdim read (96, 6)", sharp, length, candidates)));
    }
    all.push(Box::new(|| update(4096)));
    all.push(Box::new(move || score("newest 50", Long::None, 1024, candidates)));
    for length in [256, 1024, 4096] {
        all.push(Box::new(move || score("target attention over all", Long::All, length, candidates)));
    }
    for length in [256, 1024, 4096] {
        all.push(Box::new(move || muse_whole(length, candidates)));
    }
    for length in [1024, 4096, 16_384, 65_536] {
        all.push(Box::new(move || search(length, candidates)));
    }
    for length in [65_536, 1 << 20] {
        all.push(Box::new(move || search(length, 1)));
    }
    all.push(Box::new(|| Ok(copy())));
    all.into_iter().map(|make| make())
}

/// Runs `work` where it finds one thread only.
///
/// # Errors
/// [`Error::Memory`] where no thread can be started.
pub fn on_one_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pool = pool.map_err(|_| Error::Memory { what: "threads", bytes: 1, remedy: "end other processes" })?;
    Ok(pool.install(work))
}

fn read(name: &'static str, config: sdim::Config, length: usize, candidates: usize) -> Result<Case, Error> {
    let mut request = sdim::bench::Request::new(config, length, candidates, true)?;
    let run = Box::new(move || request.read().map(|_| ()));
    Ok(Case { name, length, candidates, amount: None, run })
}

fn update(length: usize) -> Result<Case, Error> {
    let mut request = sdim::bench::Request::new(sdim::Config::new(DIM, 1), length, 0, true)?;
    let run = Box::new(move || request.update());
    Ok(Case { name: "sdim update", length, candidates: 0, amount: Some(Amount::Events(length)), run })
}

fn search(length: usize, candidates: usize) -> Result<Case, Error> {
    let mut request = muse::bench::Request::new(&Device::Cpu, DIM, length, candidates)?;
    let run = Box::new(move || request.search().map(|_| ()));
    Ok(Case { name: "muse search", length, candidates, amount: Some(Amount::Bytes(length * EVENT_BYTES)), run })
}

fn copy() -> Case {
    let from = vec![1_u8; COPY_BYTES];
    let mut to = vec![0; COPY_BYTES];
    let run = Box::new(move || {
        to.copy_from_slice(&from);
        std::hint::black_box(&mut to);
        Ok(())
    });
    Case { name: "copy", length: 0, candidates: 0, amount: Some(Amount::Bytes(COPY_BYTES)), run }
}

/// A model that is one interest and next to nothing besides.
fn interest(long: Long) -> ranking::Config {
    let short = if long == Long::None { 50 } else { 0 };
    let widths = ranking::Config { item_width: 0, category_width: 0, action_width: 0, ..ranking::Config::default() };
    ranking::Config { long, dim: DIM, short, hidden: [1, 1], ..widths }
}

/// One user's history and candidates.
fn examples(length: usize, candidates: usize) -> Examples {
    let mut keys = unit_vectors(length as u64, length + candidates, DIM);
    let candidate_keys = keys.split_off(length * DIM);
    Examples {
        behavior_offsets: vec![0, length as u32],
        candidate_offsets: vec![0, candidates as u32],
        behavior_keys: keys,
        behavior_actions: vec![0; length],
        behavior_ages: (0..length as u32).collect(),
        candidate_keys,
        candidate_rows: vec![0; candidates],
        candidate_categories: vec![0; candidates],
        ..Examples::default()
    }
}

fn score(name: &'static str, long: Long, length: usize, candidates: usize) -> Result<Case, Error> {
    let mut model = Model::new(&Device::Cpu, interest(long))?;
    let examples = examples(length, candidates);
    let run = Box::new(move || model.score(&examples).map(|_| ()));
    Ok(Case { name, length, candidates, amount: None, run })
}

/// Search, tiers and the attention over what was found.
fn muse_whole(length: usize, candidates: usize) -> Result<Case, Error> {
    let mut model = Model::new(&Device::Cpu, interest(Long::Muse))?;
    let mut examples = examples(length, candidates);
    let mut request = muse::bench::Request::new(&Device::Cpu, DIM, length, candidates)?;
    let run = Box::new(move || {
        let found = request.search()?;
        examples.found_offsets.clone_from(&found.offsets);
        examples.found_behaviors.clone_from(&found.ages);
        examples.found_similarities.clone_from(&found.similarities);
        request.tiers()?.clone_into(&mut examples.tiers);
        model.score(&examples).map(|_| ())
    });
    Ok(Case { name: "muse whole", length, candidates, amount: None, run })
}

/// Unit vectors (count, dim) of random directions.
pub(crate) fn unit_vectors(seed: u64, count: usize, dim: usize) -> Vec<f32> {
    let mut random = generator(seed, 0);
    let mut out = Vec::with_capacity(count * dim);
    for _ in 0..count {
        let raw: Vec<f64> = (0..dim).map(|_| gaussian(&mut random)).collect();
        let length = raw.iter().map(|x| x * x).sum::<f64>().sqrt();
        out.extend(raw.iter().map(|x| (x / length) as f32));
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    #[ignore = "a measurement"]
    fn speed() {
        on_one_thread(|| {
            for case in cases(1000) {
                let mut case = case.unwrap();
                (case.run)().unwrap();
                let mut times: Vec<f64> = (0..15)
                    .map(|_| {
                        let start = Instant::now();
                        (case.run)().unwrap();
                        start.elapsed().as_secs_f64() * 1e3
                    })
                    .collect();
                times.sort_by(f64::total_cmp);
                let per_second = case.amount.map(|amount| match amount {
                    Amount::Bytes(bytes) => format!("{:.2} GB/s", bytes as f64 / times[0] / 1e6),
                    Amount::Events(events) => format!("{:.0} events/s", events as f64 / times[0] * 1e3),
                });
                let Case { name, length, candidates, .. } = case;
                println!(
                    "{name}, {length} events, {candidates} candidates: {:.3} ms, least {:.3} {}",
                    times[7],
                    times[0],
                    per_second.unwrap_or_default()
                );
            }
        })
        .unwrap();
    }

    #[test]
    fn random_directions_have_length_one() {
        for vector in unit_vectors(1, 20, DIM).chunks_exact(DIM) {
            assert!((vector.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
        }
    }
}
