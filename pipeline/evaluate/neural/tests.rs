//! The network in the protocol: it learns what there is, and sees nothing of what comes.

use shaders::Device;
use shaders::prompt_tpp::{LearningRates, Model};

use super::{Network, Way, fit, matrix};
use crate::evaluate::baselines::all;
use crate::evaluate::matrix::{Cut, tasks};
use crate::evaluate::prequential::score;
use crate::evaluate::regimes::Truth;
use crate::evaluate::tests::worlds;
use crate::evaluate::{Event, Forecaster, Outcome, Score, Scores, Stream, prequential};
use crate::forecast::window::{Seen, WindowCut};

const EVENTS: usize = 4000;
const PASSES: usize = 40;
const SEEN: Seen = Seen { cut: WindowCut { events: 64 }, clock: false };

fn fitted(stream: &Stream) -> Model {
    let past = stream.until(stream.split().scored);
    fit::fit(&Device::Cpu, fit::config(past, SEEN), (past, SEEN.cut), PASSES, 1).unwrap()
}

fn ways() -> [Way; 3] {
    let way = |name, rates| Way { name, rates };
    [
        way("frozen", None),
        way("online", Some(LearningRates::online(3e-4))),
        way("prompt", Some(LearningRates::prompt(3e-3, 3e-4))),
    ]
}

fn scores(stream: &Stream, model: &Model, way: Way) -> Scores {
    let mut network = Network::new((model, SEEN.cut), &Device::Cpu, way).unwrap();
    score(stream.whole(), stream.split().scored, &mut network).unwrap()
}

#[test]
fn it_learns_what_there_is_and_no_more() {
    let process = worlds::hawkes();
    let stream = worlds::stream(&process, EVENTS);
    let truth = prequential(&stream, &mut Truth::new(&process)).unwrap();
    let constant = prequential(&stream, all()[0].as_mut()).unwrap().mean(Score::nats);
    let model = fitted(&stream);
    for way in ways() {
        let scores = scores(&stream, &model, way);
        let more: Vec<f64> = scores.each.iter().zip(&truth.each).map(|(a, b)| a.nats() - b.nats()).collect();
        let n = more.len() as f64;
        let mean = more.iter().sum::<f64>() / n;
        let error = (more.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n / n).sqrt();
        assert!(mean > -3.0 * error, "{}: {mean} ± {error} below the entropy", way.name);
        let nats = scores.mean(Score::nats);
        assert!(nats < constant - 0.1, "{}: {nats} nats, a constant has {constant}", way.name);
    }
}

#[test]
fn later_events_change_no_earlier_score() {
    let process = worlds::hawkes();
    let (stream, kinds) = (worlds::stream(&process, EVENTS), process.kinds());
    let events: Vec<Event> = stream.whole().events().to_vec();
    let cut = EVENTS * 7 / 10 + 33;
    let mut other = events.clone();
    for event in &mut other[cut..] {
        event.kind = (event.kind + 1) % kinds as u32;
        event.time_ms += (event.time_ms - events[cut - 1].time_ms) * 3;
    }
    let (other, model) = (Stream::new(other, kinds).unwrap(), fitted(&stream));
    for way in ways() {
        let (before, after) = (scores(&stream, &model, way), scores(&other, &model, way));
        let same = before.positions.partition_point(|position| *position < cut);
        assert_eq!(before.each[..same], after.each[..same], "{}", way.name);
        assert_ne!(before.each[same..], after.each[same..], "{}", way.name);
    }
}

#[test]
fn batches_and_their_order_change_no_forecast() {
    let stream = worlds::stream(&worlds::hawkes(), EVENTS);
    let split = stream.split();
    let past = stream.until(split.scored);
    let targets: Vec<usize> = past.targets(split.warm_up..split.scored).step_by(7).collect();
    let after: Vec<usize> = targets.iter().map(|target| past.previous(*target).unwrap()).collect();
    let outcomes: Vec<Outcome> = targets.iter().map(|target| Outcome::at(past, *target)).collect();
    let mut network = Network::new((&fitted(&stream), SEEN.cut), &Device::Cpu, ways()[0]).unwrap();
    let (mut together, mut alone) = (Vec::new(), Vec::new());
    network.issue(past, &after).unwrap();
    network.score(&outcomes, &mut together).unwrap();
    for (after, outcome) in after.iter().zip(&outcomes).rev() {
        network.issue(past.until(after + 1), &[*after]).unwrap();
        network.score(&[*outcome], &mut alone).unwrap();
    }
    alone.reverse();
    assert_eq!(together, alone);
}

#[test]
fn a_matrix_shows_what_each_way_forgets() {
    let stream = worlds::stream(&worlds::there_and_back(EVENTS), 2 * EVENTS);
    let tasks = tasks(&stream, 2, Cut::Events).unwrap();
    let mut matrices = Vec::new();
    matrix(&stream, &tasks, (&Device::Cpu, SEEN), &mut |name, matrix| matrices.push((name, matrix))).unwrap();
    assert_eq!(matrices.iter().map(|(name, _)| *name).collect::<Vec<_>>(), super::WAYS);
    let (_, frozen) = &matrices[0];
    assert!(frozen.after[0][0] < frozen.initial[0] && frozen.after[0] == frozen.after[1], "{frozen:?}");
    for (name, matrix) in &matrices[1..] {
        assert_eq!((&matrix.initial, &matrix.after[0]), (&frozen.initial, &frozen.after[0]), "{name} begins as frozen");
        assert!(matrix.after[1][1] < matrix.after[0][1], "{name} learns: {matrix:?}");
    }
}
