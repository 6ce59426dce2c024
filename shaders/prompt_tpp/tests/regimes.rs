//! A regime that comes back finds its prompts again, where full fine-tuning has to learn it anew.

use crate::Device;
use crate::prompt_tpp::{Batch, Config, LearningRates, Model, NEVER_MS};
use crate::random::{generator, uniform};

const USERS: usize = 20;
const TYPES: usize = 4;
const UNIT_MS: f64 = 1e6;
/// Events of a window, and from one step to the next, as in the prequential protocol.
const WINDOW: usize = 32;
const BLOCK: usize = 256;

/// How far from type k users mostly go, and the median gap after it, in units.
struct Regime {
    step: usize,
    gaps: [f64; TYPES],
}

const A: Regime = Regime { step: 1, gaps: [0.5, 1.0, 2.0, 4.0] };
const B: Regime = Regime { step: 3, gaps: [4.0, 2.0, 1.0, 0.5] };

/// Type, time in ms, position in the stream.
type Event = (u32, i64, usize);

struct Stream {
    /// By position.
    users: Vec<usize>,
    /// By user.
    events: Vec<Vec<Event>>,
}

impl Stream {
    /// Stretches of so many events; the regime in force at an event rules the gap after it.
    fn new(stretches: &[(&Regime, usize)]) -> Stream {
        let mut random = generator(5, 0);
        let mut coming: Vec<(i64, usize)> =
            (0..USERS).map(|u| ((uniform(&mut random) * UNIT_MS) as i64, u % TYPES)).collect();
        let mut stream = Stream { users: Vec::new(), events: vec![Vec::new(); USERS] };
        for regime in stretches.iter().flat_map(|(regime, count)| std::iter::repeat_n(regime, *count)) {
            let user = (0..USERS).min_by_key(|&u| coming[u].0).unwrap();
            let (time, kind) = coming[user];
            stream.events[user].push((kind as u32, time, stream.users.len()));
            stream.users.push(user);
            let normal = (0..12).map(|_| uniform(&mut random)).sum::<f64>() - 6.0;
            let gap = regime.gaps[kind] * (0.4 * normal).exp();
            let anywhere = (uniform(&mut random) * TYPES as f64) as usize;
            let next = if uniform(&mut random) < 0.85 { kind + regime.step } else { anywhere };
            coming[user] = (time + ((gap * UNIT_MS) as i64).max(1), next % TYPES);
        }
        stream
    }
}

#[derive(Default)]
struct Windows {
    types: Vec<u32>,
    times_ms: Vec<i64>,
    ends: Vec<u32>,
    context: Vec<u32>,
    first_target: Vec<u32>,
}

impl Windows {
    /// A user's events, the last of them targets; of those before, so many choose the prompts.
    fn push(&mut self, events: &[Event], targets: usize, context: usize) {
        self.types.extend(events.iter().map(|event| event.0));
        self.times_ms.extend(events.iter().map(|event| event.1));
        self.ends.push(self.types.len() as u32);
        let first = events.len() - targets;
        self.context.push(context.min(first) as u32);
        self.first_target.push(first as u32);
    }

    fn run<T>(&self, f: impl FnOnce(&Batch<'_>) -> T) -> T {
        let Windows { types, times_ms, ends, context, first_target } = self;
        let offsets: Vec<u32> = std::iter::once(0).chain(ends.iter().copied()).collect();
        let open_until_ms = &vec![NEVER_MS; context.len()];
        f(&Batch { offsets: &offsets, types, times_ms, context, first_target, open_until_ms })
    }
}

/// A model fitted to the stream's first `until` events.
fn warm_up(stream: &Stream, until: usize) -> Model {
    let sizes = Config { width: 16, time_width: 8, order_width: 8, hidden: 32, ..Config::default() };
    let mut model = Model::new(&Device::Cpu, Config { types: TYPES, unit_ms: UNIT_MS, ..sizes }, 1).unwrap();
    let seen = |events: &'_ [Event]| events.partition_point(|event| event.2 < until);
    let users: Vec<&[Event]> = stream.events.iter().map(|events| &events[..seen(events)]).collect();
    let gaps: Vec<i64> = users.iter().flat_map(|events| events.windows(2).map(|pair| pair[1].1 - pair[0].1)).collect();
    let types: Vec<u32> = users.iter().flat_map(|events| events.iter().map(|event| event.0)).collect();
    model.start_from(&gaps, &types);
    let windows: Vec<&[Event]> =
        users.iter().flat_map(|events| events.chunks(WINDOW).filter(|window| window.len() > 1)).collect();
    let (mut random, steps, size) = (generator(7, 0), 240, 16);
    for step in 0..steps {
        let mut batch = Windows::default();
        for _ in 0..size {
            let window = windows[(uniform(&mut random) * windows.len() as f64) as usize];
            batch.push(window, window.len() - 1, 1);
        }
        let rates = LearningRates::warm_up().times(1.0 - 0.95 * step as f64 / steps as f64);
        batch.run(|batch| model.step(batch, &rates).unwrap());
    }
    model
}

/// Passes on from `from`, block by block: every event is scored under the forecast that was in force when the user's
/// previous one had arrived, then learned from. NLL by position; `after` sees the model after each block.
fn prequential(
    model: &mut Model,
    stream: &Stream,
    from: usize,
    rates: LearningRates,
    mut after: impl FnMut(usize, &Model),
) -> Vec<f64> {
    let mut nats = vec![f64::NAN; stream.users.len()];
    let mut seen = vec![0; USERS];
    stream.users[..from].iter().for_each(|&user| seen[user] += 1);
    for start in (from..stream.users.len()).step_by(BLOCK) {
        let end = (start + BLOCK).min(stream.users.len());
        let (before, mut issued, mut targets) = (seen.clone(), Windows::default(), Vec::new());
        for &user in &stream.users[start..end] {
            seen[user] += 1;
            if let Some(next) = stream.events[user].get(seen[user]) {
                issued.push(&stream.events[user][seen[user].saturating_sub(WINDOW)..=seen[user]], 1, WINDOW);
                targets.push(next.2);
            }
        }
        let scores = issued.run(|batch| model.score(batch).unwrap());
        for (n, target) in targets.into_iter().enumerate() {
            nats[target] = scores.gap_nats[n] + scores.type_nats[n];
        }
        let mut learned = Windows::default();
        for (events, (&from, &to)) in stream.events.iter().zip(before.iter().zip(&seen)) {
            if from > 0 && to > from {
                learned.push(&events[from.saturating_sub(WINDOW)..to], to - from, WINDOW);
            }
        }
        assert!(learned.run(|batch| model.step(batch, &rates).unwrap()).applied);
        after(end, model);
    }
    nats
}

fn mean(nats: &[f64]) -> f64 {
    let known: Vec<f64> = nats.iter().copied().filter(|nats| !nats.is_nan()).collect();
    known.iter().sum::<f64>() / known.len() as f64
}

/// Prompts (parameters, all pools) of a group, and how often it was chosen while learning.
fn group(model: &Model, group: usize) -> (Vec<f32>, u64) {
    let (pool, chosen) = (model.config().pool, model.config().chosen);
    let mut prompts = Vec::new();
    for tensor in model.tensors.iter().filter(|t| t.name.ends_with(".prompts") || t.name.ends_with(".keys")) {
        let rows = tensor.rows / pool * chosen;
        prompts.extend_from_slice(
            &model.parameters[tensor.offset + group * rows * tensor.columns..][..rows * tensor.columns],
        );
    }
    (prompts, model.usage()[group * chosen])
}

const WARM_UP: usize = 6000;
const BEGIN_B: usize = WARM_UP + 2048;
const BACK: usize = BEGIN_B + 12_032;
const END: usize = BACK + 6000;

struct Outcome {
    over_b: f64,
    /// Events after the return until 100 in a row are within 5 % of the NLL before B.
    back_after: Option<usize>,
}

fn outcome(nats: &[f64]) -> Outcome {
    let former = mean(&nats[BEGIN_B - 1000..BEGIN_B]);
    let window = 100;
    let back = (BACK..END - window).find(|&at| mean(&nats[at..at + window]) <= 1.05 * former);
    Outcome { over_b: mean(&nats[BEGIN_B..BACK]), back_after: back.map(|at| at + window - BACK) }
}

#[test]
fn back_in_a_regime_prompts_need_a_tenth_of_the_events_that_fine_tuning_needs() {
    let stream = Stream::new(&[(&A, BEGIN_B), (&B, BACK - BEGIN_B), (&A, END - BACK)]);
    let fitted = warm_up(&stream, WARM_UP);
    let goes_on = |rates: LearningRates, after: &mut dyn FnMut(usize, &Model)| {
        let mut model = Model::load(&Device::Cpu, fitted.config().clone(), fitted.save()).unwrap();
        outcome(&prequential(&mut model, &stream, WARM_UP, rates, after))
    };
    // Each way at the rate that follows the new regime best.
    let better = |a: Outcome, b: Outcome| if b.over_b < a.over_b { b } else { a };
    let tuned = [1e-3, 3e-3, 1e-2].map(|rate| goes_on(LearningRates::online(rate), &mut |_, _| ()));
    let tuned = tuned.into_iter().reduce(better).unwrap();
    let frozen = goes_on(LearningRates::calibrated(0.0), &mut |_, _| ());
    let (mut in_use, mut of_a, mut of_b) = (Vec::new(), Vec::new(), Vec::new());
    let mut served = None;
    let prompt = goes_on(LearningRates::prompt(1e-1, 0.0), &mut |position, model| {
        served = Some((model.in_use(), model.weights()));
        in_use.push(model.in_use() / model.config().chosen);
        // The first block of either regime still has contexts of the other.
        of_a.push((position, group(model, 0)));
        of_b.push((position, group(model, 1)));
    });
    let at = |groups: &[(usize, (Vec<f32>, u64))], position: usize| {
        groups[groups.iter().position(|group| group.0 >= position).unwrap()].1.clone()
    };

    assert!(prompt.over_b < frozen.over_b - 1.0, "{} {}: nothing is learned of B", prompt.over_b, frozen.over_b);
    assert_eq!((in_use[0], in_use.last()), (1, Some(&2)), "one group per regime: {in_use:?}");
    let settled = 2 * BLOCK;
    let (a_in_b, a_back) = (at(&of_a, BEGIN_B + settled), at(&of_a, BACK));
    assert!(a_in_b == a_back, "in B nothing of A moves, and it is not chosen");
    assert!(at(&of_b, BEGIN_B + settled).0 != at(&of_b, BACK).0, "B has prompts of its own");
    let again = at(&of_a, END).1 - at(&of_a, BACK + settled).1;
    let of_other = at(&of_b, END).1 - at(&of_b, BACK + settled).1;
    assert!(again > 0 && 50 * of_other < again, "A is chosen again, {again} times, B {of_other} times");

    let (in_use, weights) = served.unwrap();
    let serving = Model::from_weights(&Device::Cpu, fitted.config().clone(), weights, 0).unwrap();
    assert_eq!(serving.in_use(), in_use, "what serves knows which prompts are spare");

    let prompt = prompt.back_after.expect("prompts come back");
    let tuned = tuned.back_after.unwrap_or(END - BACK);
    println!("back after {prompt} events with prompts, after {tuned} with full fine-tuning");
    assert!(10 * prompt <= tuned, "back after {prompt} events, full fine-tuning after {tuned}");
}
