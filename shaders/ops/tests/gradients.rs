//! Every operation's gradient against finite differences in f64, and its kernels against the CPU.

use std::sync::Arc;

use crate::Gpu;
use crate::ops::*;

/// A smooth number in (-1, 1) for each place.
fn wave(seed: usize, n: usize) -> f64 {
    ((n as f64 + 1.0) * 0.7368 + seed as f64 * 1.913).sin() * 0.9
}

/// A batch of three sequences of 4, 0 and 7 events, with 3, 1 and 2 queries, and 2 prefix rows each.
struct Bed {
    tape: Tape,
    tensors: Tensors,
    event: Axis,
    query: Axis,
    prefix: Axis,
    sequence: Axis,
    /// Of queries and what was chosen for them: 3, 0 and 6.
    pairs: Axis,
}

const OFFSETS: [[u32; 4]; 5] = [[0, 4, 4, 11], [0, 3, 4, 6], [0, 2, 4, 6], [0, 1, 2, 3], [0, 3, 3, 9]];

impl Bed {
    fn new(shapes: &[(&str, usize, usize)]) -> Bed {
        let mut tensors = Tensors::default();
        for &(name, rows, columns) in shapes {
            tensors.add(name, rows, columns);
        }
        let mut tape = Tape::new();
        let (event, query) = (tape.axis("event"), tape.axis("query"));
        let (prefix, sequence) = (tape.axis("prefix"), tape.axis("sequence"));
        let pairs = tape.axis("pairs");
        Bed { tape, tensors, event, query, prefix, sequence, pairs }
    }

    fn tensor(&mut self, name: &str) -> Value {
        self.tape.tensor(&self.tensors, name)
    }

    /// Rows on an axis that depend on parameters: an input times a weight.
    fn rows(&mut self, axis: Axis, name: &str) -> Value {
        let weight = self.tensor(name);
        let inputs = self.tape.rows_in(weight);
        let x = self.tape.input("x", axis, inputs);
        self.tape.linear(x, weight, None, None)
    }

    /// Checks the gradient of a weighted sum of all of `y`.
    fn check(mut self, y: Value, ids: impl Fn(&str, usize) -> u32) {
        let axis = self.tape.axis_of(y);
        let columns = self.tape.columns_of(y);
        let readout = self.tape.input("readout", Axis::Table(columns), 1);
        self.tape.output(y);
        let sum = self.tape.linear(y, readout, None, None);
        let weights = self.tape.input("weights", axis, 1);
        self.tape.loss(sum, weights);
        let mut feed = self.tape.feed::<f64>();
        feed.sequences = 3;
        feed.offsets = OFFSETS.iter().map(|offsets| offsets.to_vec()).collect();
        for (slot, (_, value)) in self.tape.inputs.iter().enumerate() {
            let spec = self.tape.values[*value];
            let len = self.tape.rows(&feed, spec.axis) * spec.columns;
            feed.floats[slot] = (0..len).map(|n| wave(slot + 5, n)).collect();
        }
        for (slot, (name, index)) in self.tape.id_inputs.iter().enumerate() {
            let spec = self.tape.ids[*index];
            let len = self.tape.rows(&feed, spec.axis) * spec.columns;
            feed.ids[slot] = (0..len).map(|n| ids(name, n)).collect();
        }
        let parameters: Vec<f64> = (0..self.tensors.len()).map(|n| wave(1, n)).collect();
        let tape = Arc::new(self.tape);
        check_twins(&tape, &parameters, &feed);
        let mut cpu = Cpu::new(tape);
        let mut gradient = vec![0.0; parameters.len()];
        cpu.run(&parameters, &feed, Some(&mut gradient));
        assert!(gradient.iter().filter(|g| g.abs() > 1e-9).count() * 3 > gradient.len(), "most gradients are zero");
        check_inputs(&mut cpu, &parameters, &feed);
        for place in 0..parameters.len() {
            let h = 1e-5;
            let mut at = |shift: f64| {
                let mut moved = parameters.clone();
                moved[place] += shift;
                cpu.run(&moved, &feed, None).losses[0]
            };
            // Fourth order.
            let slope = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
            let error = (gradient[place] - slope).abs();
            assert!(error < 2e-9 * (1.0 + slope.abs()), "parameter {place}: {} {slope}", gradient[place]);
        }
    }
}

/// The gradients that go out against finite differences.
fn check_inputs(cpu: &mut Cpu<f64>, parameters: &[f64], feed: &Feed<f64>) {
    let run = cpu.run(parameters, feed, Some(&mut vec![0.0; parameters.len()]));
    let slots: Vec<usize> = cpu.trained_inputs().collect();
    for (slot, gradient) in slots.into_iter().zip(run.input_gradients) {
        assert_eq!(gradient.len(), feed.floats[slot].len());
        for (place, found) in gradient.into_iter().enumerate() {
            let mut moved = feed.clone();
            let mut at = |shift: f64| {
                moved.floats[slot][place] = feed.floats[slot][place] + shift;
                cpu.run(parameters, &moved, None).losses[0]
            };
            let h = 1e-5;
            let slope = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
            assert!((found - slope).abs() < 2e-9 * (1.0 + slope.abs()), "input {slot} {place}: {found} {slope}");
        }
    }
}

/// Losses, outputs and gradients of both backends, in f32, within 1e-4.
fn check_twins(tape: &Arc<Tape>, parameters: &[f64], feed: &Feed<f64>) {
    let single = |values: &Vec<f64>| values.iter().map(|&value| value as f32).collect::<Vec<f32>>();
    let parameters = single(&parameters.to_vec());
    let feed = Feed {
        sequences: feed.sequences,
        offsets: feed.offsets.clone(),
        floats: feed.floats.iter().map(single).collect(),
        ids: feed.ids.clone(),
    };
    let gpu = Gpu::open(true).unwrap().expect("install mesa-vulkan-drivers for a software adapter");
    let mut on_gpu = OnGpu::new(&gpu, tape.clone()).unwrap();
    let mut gradients = vec![vec![0.0; parameters.len()]; 3];
    let expected = Cpu::new(tape.clone()).run(&parameters, &feed, Some(&mut gradients[0]));
    let found = on_gpu.run(&parameters, &feed, Some(&mut gradients[1])).unwrap();
    let again = on_gpu.run(&parameters, &feed, Some(&mut gradients[2])).unwrap();
    assert!(found.outputs == again.outputs && gradients[1] == gradients[2], "a second run differs");
    assert_eq!(found.ids, expected.ids);
    let close = |found: &[f32], expected: &[f32], what: &str| {
        assert_eq!(found.len(), expected.len(), "{what}");
        let size = expected.iter().fold(0.0f32, |size, x| size.max(x.abs())).max(1e-3);
        for (n, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert!((found - expected).abs() <= 1e-4 * size, "{what} {n}: {found} on the GPU, {expected} on the CPU");
        }
    };
    for (found, expected) in found.outputs.iter().zip(&expected.outputs) {
        close(found, expected, "output");
    }
    for (found, expected) in found.losses.iter().zip(&expected.losses) {
        assert!((found - expected).abs() < 1e-4 * expected.abs().max(1.0), "loss {found} {expected}");
    }
    close(&gradients[1], &gradients[0], "gradient");
    assert_eq!(found.input_gradients, again.input_gradients);
    for (found, expected) in found.input_gradients.iter().zip(&expected.input_gradients) {
        close(found, expected, "gradient of an input");
    }
}

fn zero(_: &str, _: usize) -> u32 {
    0
}

#[test]
fn linear() {
    let mut bed = Bed::new(&[("a", 3, 4), ("w", 6, 5), ("b", 1, 5), ("c", 3, 5)]);
    let (x, addend) = (bed.rows(bed.event, "a"), bed.rows(bed.event, "c"));
    let (w, b) = (bed.tensor("w"), bed.tensor("b"));
    let part = bed.tape.rows_of(w, 1..5);
    let y = bed.tape.linear(x, part, Some(b), Some(addend));
    let w = bed.tape.rows_of(w, 0..5);
    let y = bed.tape.linear(y, w, None, None);
    bed.check(y, zero);
}

#[test]
fn functions_of_one_number() {
    let smooth = [Function::Tanh, Function::Sigmoid, Function::Silu, Function::Gelu, Function::Softplus];
    for function in smooth.into_iter().chain([Function::Relu]) {
        let mut bed = Bed::new(&[("a", 3, 4), ("c", 3, 4)]);
        let (x, addend) = (bed.rows(bed.event, "a"), bed.rows(bed.event, "c"));
        let y = bed.tape.apply(function, x, None);
        let y = bed.tape.apply(function, y, Some(addend));
        bed.check(y, zero);
    }
}

#[test]
fn gather_of_single_rows_and_of_groups_of_a_computed_table() {
    let mut bed = Bed::new(&[("table", 6, 3), ("w", 3, 4)]);
    let (table, w) = (bed.tensor("table"), bed.tensor("w"));
    let projected = bed.tape.linear(table, w, None, None);
    let ids = bed.tape.input_ids("single", bed.event, 2);
    let y = bed.tape.gather(projected, ids, 1, bed.event);
    bed.check(y, |_, n| (n * 5 % 6) as u32);
    let mut bed = Bed::new(&[("table", 6, 3)]);
    let table = bed.tensor("table");
    let ids = bed.tape.input_ids("group", bed.sequence, 1);
    let y = bed.tape.gather(table, ids, 2, bed.prefix);
    bed.check(y, |_, n| (2 - n) as u32);
}

#[test]
fn expand_segment_concat_and_weighted_sum() {
    let mut bed = Bed::new(&[("a", 3, 4), ("s", 3, 4), ("t", 1, 4)]);
    let (x, coarse, table) = (bed.rows(bed.event, "a"), bed.rows(bed.sequence, "s"), bed.tensor("t"));
    let y = bed.tape.expand(x, coarse, Owner::Sequence);
    let y = bed.tape.expand(y, table, Owner::Table);
    let y = bed.tape.apply(Function::Tanh, y, None);
    bed.check(y, zero);
    for mean in [false, true] {
        let mut bed = Bed::new(&[("a", 3, 4), ("b", 3, 2)]);
        let (x, other) = (bed.rows(bed.event, "a"), bed.rows(bed.event, "b"));
        let both = bed.tape.concat(&[x, other, x]);
        let counts = bed.tape.input_ids("counts", bed.sequence, 1);
        let y = bed.tape.segment(both, counts, mean, bed.sequence);
        let y = bed.tape.apply(Function::Tanh, y, None);
        bed.check(y, |_, n| [3, 0, 9][n]);
    }
    // Each sequence has two prefix rows.
    let mut bed = Bed::new(&[("a", 3, 4), ("w", 3, 1), ("s", 3, 4)]);
    let (fine, weights, coarse) = (bed.rows(bed.prefix, "a"), bed.rows(bed.prefix, "w"), bed.rows(bed.sequence, "s"));
    let fine = bed.tape.expand(fine, coarse, Owner::Group(2));
    let y = bed.tape.weighted_sum(fine, weights, 2, bed.sequence);
    bed.check(y, zero);
}

#[test]
fn attention() {
    for (form, own) in [(Form::OnePlus, false), (Form::SelfToken, false), (Form::SelfToken, true)] {
        let names = ["q", "k", "v", "pk", "pv", "ok", "ov"];
        let shapes: Vec<(&str, usize, usize)> = names[..if own { 7 } else { 5 }].iter().map(|&n| (n, 3, 4)).collect();
        let mut bed = Bed::new(&shapes);
        let query = bed.rows(bed.query, "q");
        let rows = KeyValue { key: bed.rows(bed.event, "k"), value: bed.rows(bed.event, "v") };
        let prefix = KeyValue { key: bed.rows(bed.prefix, "pk"), value: bed.rows(bed.prefix, "pv") };
        let own = own.then(|| KeyValue { key: bed.rows(bed.query, "ok"), value: bed.rows(bed.query, "ov") });
        let visible = bed.tape.input_ids("visible", bed.query, 1);
        let y = bed.tape.attention(form, query, rows, prefix, own, visible);
        bed.check(y, |_, n| [0, 3, 4, 0, 7, 5][n]);
    }
}

#[test]
fn norms() {
    let mut bed = Bed::new(&[("a", 3, 4), ("gain", 1, 4), ("bias", 1, 4)]);
    let (x, gain, bias) = (bed.rows(bed.event, "a"), bed.tensor("gain"), bed.tensor("bias"));
    let y = bed.tape.layer_norm(x, gain, bias);
    bed.check(y, zero);
    let mut bed = Bed::new(&[("a", 3, 4), ("gain", 1, 4)]);
    let (x, gain) = (bed.rows(bed.event, "a"), bed.tensor("gain"));
    let y = bed.tape.rms_norm(x, gain);
    bed.check(y, zero);
}

#[test]
fn rotation() {
    let mut bed = Bed::new(&[("a", 3, 6)]);
    let x = bed.rows(bed.event, "a");
    let angles = bed.tape.input("angles", bed.event, 4);
    let y = bed.tape.rotate(x, angles);
    let y = bed.tape.apply(Function::Tanh, y, None);
    bed.check(y, zero);
}

#[test]
fn softmax_and_cross_entropy() {
    let mut bed = Bed::new(&[("a", 3, 5)]);
    let x = bed.rows(bed.event, "a");
    let y = bed.tape.softmax(x);
    bed.check(y, zero);
    let mut bed = Bed::new(&[("a", 3, 5)]);
    let x = bed.rows(bed.event, "a");
    let classes = bed.tape.input_ids("class", bed.event, 1);
    let y = bed.tape.cross_entropy(x, classes);
    bed.check(y, |_, n| (n % 5) as u32);
}

#[test]
fn mixture_of_closed_and_open_gaps_under_an_affine_map() {
    let mut bed = Bed::new(&[("a", 4, 9), ("map", 1, 2)]);
    let (x, map) = (bed.rows(bed.query, "a"), bed.tensor("map"));
    let x = bed.tape.affine_mixture(x, map);
    let gap = bed.tape.input("gap", bed.query, 1);
    let kinds = bed.tape.input_ids("kind", bed.query, 1);
    let y = bed.tape.mixture(x, gap, kinds, 0.05);
    bed.check(y, |_, n| (n % 2) as u32);
}

#[test]
fn intensity() {
    let mut bed = Bed::new(&[("a", 3, 4), ("scale", 1, 4)]);
    let (x, scale) = (bed.rows(bed.query, "a"), bed.tensor("scale"));
    let y = bed.tape.intensity(x, scale);
    let types = bed.tape.input_ids("type", bed.query, 1);
    let y = bed.tape.intensity_term(y, types);
    bed.check(y, |_, n| if n % 3 == 0 { ALL_TYPES } else { (n % 4) as u32 });
}

#[test]
fn retrieval() {
    let mut bed = Bed::new(&[("a", 3, 4), ("keys", 5, 4)]);
    let (query, keys) = (bed.rows(bed.sequence, "a"), bed.tensor("keys"));
    let cosines = bed.tape.cosine(query, keys);
    let penalty = bed.tape.input("penalty", Axis::Table(5), 1);
    let counts = bed.tape.input_ids("counts", bed.sequence, 1);
    let chosen = bed.tape.top(cosines, Some(penalty), counts, 2);
    let y = bed.tape.distance(cosines, chosen);
    bed.check(y, |_, n| (n != 1).into());
}

#[test]
fn products_of_rows_and_of_rows_with_one_row_or_number() {
    // Shapes of the factor: as x, narrower, wider; one row, one number.
    for columns in [4, 3, 6] {
        let mut bed = Bed::new(&[("a", 3, 4), ("b", 3, columns)]);
        let (x, factor) = (bed.rows(bed.event, "a"), bed.rows(bed.event, "b"));
        let y = bed.tape.multiply(x, factor);
        assert_eq!(bed.tape.columns_of(y), columns.min(4));
        bed.check(y, zero);
    }
    for columns in [4, 1] {
        let mut bed = Bed::new(&[("a", 3, 4), ("b", 1, columns)]);
        let (x, factor) = (bed.rows(bed.event, "a"), bed.tensor("b"));
        let y = bed.tape.multiply(x, factor);
        bed.check(y, zero);
    }
}

#[test]
fn unit_rows_and_similarities_and_the_gradient_of_an_input() {
    let mut bed = Bed::new(&[("a", 3, 19)]);
    let x = bed.rows(bed.event, "a");
    let y = bed.tape.unit(x);
    bed.check(y, zero);
    for (a, b) in [(4, 4), (5, 19), (19, 17)] {
        let mut bed = Bed::new(&[("a", 3, a)]);
        let (x, (other, place)) = (bed.rows(bed.event, "a"), bed.tape.trained_input("b", bed.event, b));
        assert_eq!(place, 0);
        let y = bed.tape.similarity(x, other, 5.0);
        bed.check(y, zero);
    }
}

#[test]
fn nothing_flows_into_a_row_of_zeros() {
    let mut tape = Tape::new();
    let row = tape.axis("row");
    let (x, _) = tape.trained_input("x", row, 3);
    let (other, _) = tape.trained_input("other", row, 3);
    let unit = tape.unit(x);
    let y = tape.similarity(x, other, 5.0);
    tape.output(unit);
    let output = tape.output(y);
    let readout = tape.input("readout", Axis::Table(3), 1);
    let sum = tape.linear(unit, readout, None, None);
    let weights = tape.input("weights", row, 1);
    tape.loss(sum, weights);
    let mut feed = tape.feed::<f32>();
    feed.sequences = 1;
    feed.offsets[0] = vec![0, 1];
    feed.floats = vec![vec![0.0; 3], vec![1.0, 2.0, 3.0], vec![1.0; 3], vec![1.0]];
    let run = Cpu::new(Arc::new(tape)).run(&[], &feed, Some(&mut []));
    assert_eq!((&run.outputs[0][..], &run.outputs[output][..]), (&[0.0; 3][..], &[0.0; 2][..]));
    assert_eq!(run.input_gradients, [vec![0.0; 3], vec![0.0; 3]]);
}

#[test]
fn target_attention_over_all_rows() {
    for (bias, scale) in [(false, 1.0), (true, 0.7)] {
        let mut bed =
            Bed::new(&[("q", 3, 5), ("k", 3, 5), ("v", 3, 4), ("w", 3, 2), ("b", 3, 1)][..4 + usize::from(bias)]);
        let query = bed.rows(bed.query, "q");
        let key = bed.rows(bed.event, "k");
        let fixed = bed.tape.input("fixed", bed.event, 3);
        let values = vec![bed.rows(bed.event, "v"), fixed, bed.rows(bed.event, "w")];
        let bias = bias.then(|| bed.rows(bed.event, "b"));
        let y = bed.tape.target_attention(query, Rows { key, values, bias }, None, scale);
        bed.check(y, zero);
    }
}

#[test]
fn target_attention_over_chosen_rows() {
    for (coefficients, floor) in [(0, 0.0), (3, 0.0), (4, 0.01)] {
        let shapes = [("q", 3, 5), ("k", 3, 5), ("v", 3, 4), ("w", 3, 2), ("b", 3, 1), ("c", 1, coefficients)];
        let mut bed = Bed::new(&shapes[..5 + usize::from(coefficients > 0)]);
        let query = bed.rows(bed.sequence, "q");
        let key = bed.rows(bed.event, "k");
        let values = vec![bed.rows(bed.event, "v"), bed.rows(bed.event, "w")];
        let bias = Some(bed.rows(bed.event, "b"));
        let ranges = bed.tape.input_ids("ranges", bed.sequence, 2);
        let rows = bed.tape.input_ids("rows", bed.pairs, 1);
        let similarities = (coefficients > 0).then(|| Similarities {
            values: bed.tape.input("similarity", bed.pairs, 1),
            coefficients: bed.tensor("c"),
        });
        let chosen = Chosen { ranges, rows, similarities, floor };
        let y = bed.tape.target_attention(query, Rows { key, values, bias }, Some(chosen), 0.6);
        bed.check(y, |name, n| match name {
            "ranges" => [0, 3, 0, 0, 1, 5][n],
            _ => [3, 1, 3, 0, 6, 2, 6, 5, 4][n],
        });
    }
}
