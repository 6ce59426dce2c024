//! A mixture of normal distributions of the logarithm of a gap (spec 7.1): its likelihood, the survival of a gap still
//! open, an affine map of the logarithm's clock, and nodes to integrate over it.
//!
//! A row of parameters is (logits, means, log deviations), `components` of each; a deviation is
//! `floor + e^(log deviation)`. All of it is on the scale of the standardized logarithm of the gap.

use super::block::Block;
use super::kernels::{AffineMixtureGradientParams, AffineMixtureParams, MixtureNodesParams, MixtureParams};
use super::launch::Launch;
use super::launch::groups;
use super::normal::log_survival;
use super::real::{Real, larger};
use super::softmax::softmax_row;
use super::tape::{Axis, Ids, Tape, Value};
use super::vectorized::{Isa, vectorized};
use crate::Error;

/// The most components a mixture may have.
pub const COMPONENTS_MAX: usize = 16;
/// Log deviations are cut off here.
pub(crate) const LOG_DEVIATION_MAX: f64 = 3.0;
/// Nodes and weights of Gauss and Hermite's rule of three points.
pub(crate) const NODES: [(f64, f64); 3] =
    [(0.0, 2.0 / 3.0), (1.732_050_807_568_877_2, 1.0 / 6.0), (-1.732_050_807_568_877_2, 1.0 / 6.0)];

/// What is known of a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// It was this long.
    Closed = 0,
    /// It is longer than this: no event has come yet.
    Open = 1,
}

/// See [`Tape::mixture`].
#[derive(Debug)]
pub(crate) struct Mixture {
    pub parameters: Value,
    pub gap: Value,
    pub kinds: Ids,
    pub floor: f64,
    pub y: Value,
}

/// See [`Tape::affine_mixture`].
#[derive(Debug)]
pub(crate) struct AffineMixture {
    pub parameters: Value,
    pub map: Value,
    pub y: Value,
}

/// See [`Tape::mixture_nodes`].
#[derive(Debug)]
pub(crate) struct MixtureNodes {
    pub parameters: Value,
    pub floor: f64,
    pub nodes: Value,
    pub weights: Value,
}

impl Tape {
    /// -ln of the density of `gap` (rows, 1), or of the probability that it is longer where `kinds` (rows, 1) says
    /// [`Gap::Open`]: (rows, 1).
    pub fn mixture(&mut self, parameters: Value, gap: Value, kinds: Ids, floor: f64) -> Value {
        self.components_of(parameters);
        let y = self.result(self.axis_of(parameters), 1, &[parameters]);
        self.operations.push(super::Operation::Mixture(Mixture { parameters, gap, kinds, floor, y }));
        y
    }

    /// The mixture of shift + e^scale * (what was mixed), `map` being the table (shift, scale). The floor stays.
    pub fn affine_mixture(&mut self, parameters: Value, map: Value) -> Value {
        self.components_of(parameters);
        let y = self.result(self.axis_of(parameters), self.columns_of(parameters), &[parameters, map]);
        self.operations.push(super::Operation::AffineMixture(AffineMixture { parameters, map, y }));
        y
    }

    /// Three nodes per component and their weights, each (1) on `axis`: sums over them are integrals over the mixture.
    /// No gradient.
    pub fn mixture_nodes(&mut self, parameters: Value, floor: f64, axis: Axis) -> (Value, Value) {
        self.components_of(parameters);
        let (nodes, weights) = (self.result(axis, 1, &[]), self.result(axis, 1, &[]));
        self.operations.push(super::Operation::MixtureNodes(MixtureNodes { parameters, floor, nodes, weights }));
        (nodes, weights)
    }

    fn components_of(&self, parameters: Value) -> usize {
        let columns = self.columns_of(parameters);
        assert!(columns.is_multiple_of(3) && columns / 3 <= COMPONENTS_MAX, "parameters of a mixture");
        columns / 3
    }
}

/// One row's mixture.
struct Row<T> {
    shares: [T; COMPONENTS_MAX],
    deviations: [T; COMPONENTS_MAX],
    /// Derivative of each deviation by its logarithm.
    slopes: [T; COMPONENTS_MAX],
}

impl<T: Real> Row<T> {
    #[inline(always)]
    fn new<I: Isa>(parameters: &[T], floor: T) -> Row<T> {
        let components = parameters.len() / 3;
        let mut row = Row {
            shares: [T::ZERO; COMPONENTS_MAX],
            deviations: [T::ONE; COMPONENTS_MAX],
            slopes: [T::ZERO; COMPONENTS_MAX],
        };
        softmax_row::<T, I>(&parameters[..components], &mut row.shares[..components]);
        for (m, &log) in parameters[2 * components..].iter().enumerate() {
            let limit = T::of(LOG_DEVIATION_MAX);
            let deviation = (if log > limit { limit } else { log }).fast_exp::<I>();
            row.deviations[m] = floor + deviation;
            row.slopes[m] = if log > limit { T::ZERO } else { deviation };
        }
        row
    }
}

impl Mixture {
    pub fn forward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let mut y = block.take(self.y);
        let (parameters, gap, kinds) = (block.data(self.parameters), block.data(self.gap), block.ids(self.kinds));
        mixture(parameters, block.columns(self.parameters), (gap, kinds), T::of(self.floor), &mut y, &mut [], &[]);
        block.put(self.y, y);
    }

    pub fn backward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let mut d_parameters = block.take_gradient(self.parameters);
        let mut y = block.take(self.y);
        if let Some(d_parameters) = &mut d_parameters {
            let (parameters, gap, kinds) = (block.data(self.parameters), block.data(self.gap), block.ids(self.kinds));
            let (columns, d_y) = (block.columns(self.parameters), block.gradient(self.y));
            mixture(parameters, columns, (gap, kinds), T::of(self.floor), &mut y, d_parameters, d_y);
        }
        block.put(self.y, y);
        block.put_gradient(d_parameters);
    }
}

vectorized! {
    /// y = -ln p of what is `known`, gaps and their kinds; where `d_y` is not empty, also d_parameters += d_y times the gradient.
    fn mixture<T, I>(
        parameters: &[T], columns: usize, known: (&[T], &[u32]), floor: T, y: &mut [T], d_parameters: &mut [T],
        d_y: &[T],
    ) {
        let log_root = T::of(0.5 * (2.0 * std::f64::consts::PI).ln());
        let (components, (gaps, kinds)) = (columns / 3, known);
        for (i, parameters) in parameters.chunks_exact(columns).enumerate() {
            let row = Row::new::<I>(parameters, floor);
            let means = &parameters[components..2 * components];
            let mut logs = [T::ZERO; COMPONENTS_MAX];
            // By the mean: -h / deviation where ln p falls with z at the rate h.
            let (mut by_mean, mut by_deviation) = ([T::ZERO; COMPONENTS_MAX], [T::ZERO; COMPONENTS_MAX]);
            for m in 0..components {
                let inverse = T::ONE / row.deviations[m];
                let z = (gaps[i] - means[m]) * inverse;
                if kinds[i] == Gap::Closed as u32 {
                    logs[m] = -T::of(0.5) * z * z - row.deviations[m].fast_ln::<I>() - log_root;
                    by_mean[m] = z * inverse;
                    by_deviation[m] = (z * z - T::ONE) * inverse;
                } else {
                    let (log, hazard) = log_survival::<T, I>(z);
                    logs[m] = log;
                    by_mean[m] = hazard * inverse;
                    by_deviation[m] = hazard * z * inverse;
                }
            }
            let most = logs[..components].iter().copied().fold(logs[0], larger);
            let mut posterior = [T::ZERO; COMPONENTS_MAX];
            let mut total = T::ZERO;
            for m in 0..components {
                posterior[m] = row.shares[m] * (logs[m] - most).fast_exp::<I>();
                total += posterior[m];
            }
            y[i] = -(most + total.fast_ln::<I>());
            if d_y.is_empty() {
                continue;
            }
            let d_row = &mut d_parameters[i * columns..][..columns];
            for m in 0..components {
                let r = posterior[m] / total;
                d_row[m] -= d_y[i] * (r - row.shares[m]);
                d_row[components + m] -= d_y[i] * r * by_mean[m];
                d_row[2 * components + m] -= d_y[i] * r * by_deviation[m] * row.slopes[m];
            }
        }
    }
}

impl AffineMixture {
    pub fn forward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let mut y = block.take(self.y);
        let (x, map, columns) = (block.data(self.parameters), block.data(self.map), block.columns(self.y));
        affine_mixture(x, columns, map[0], map[1], &mut y);
        block.put(self.y, y);
    }

    pub fn backward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let mut d_x = block.take_gradient(self.parameters);
        let mut d_map = block.take_gradient(self.map);
        let (x, map, d_y) = (block.data(self.parameters), block.data(self.map), block.gradient(self.y));
        affine_mixture_gradient(d_y, x, block.columns(self.y), map[1], (d_x.as_deref_mut(), d_map.as_deref_mut()));
        block.put_gradient(d_x);
        block.put_gradient(d_map);
    }
}

/// Means: shift + e^scale mean; log deviations: + scale.
fn affine_mixture<T: Real>(x: &[T], columns: usize, shift: T, scale: T, y: &mut [T]) {
    let stretch = T::of(scale.f64().exp());
    for (x, y) in x.chunks_exact(columns).zip(y.chunks_exact_mut(columns)) {
        for (m, (&x, y)) in x.iter().zip(y).enumerate() {
            *y = match m / (columns / 3) {
                0 => x,
                1 => shift + stretch * x,
                _ => x + scale,
            };
        }
    }
}

/// Of the parameters and of (shift, scale); either may be left out.
fn affine_mixture_gradient<T: Real>(
    d_y: &[T],
    x: &[T],
    columns: usize,
    scale: T,
    (mut d_x, mut d_map): (Option<&mut [T]>, Option<&mut [T]>),
) {
    let stretch = T::of(scale.f64().exp());
    for (place, (&x, &d_y)) in x.iter().zip(d_y).enumerate() {
        let kind = place % columns / (columns / 3);
        if let Some(d_x) = &mut d_x {
            d_x[place] += if kind == 1 { stretch * d_y } else { d_y };
        }
        if let Some(d_map) = &mut d_map {
            d_map[0] += if kind == 1 { d_y } else { T::ZERO };
            d_map[1] += [T::ZERO, d_y * stretch * x, d_y][kind];
        }
    }
}

impl MixtureNodes {
    pub fn forward<T: Real>(&self, _place: usize, block: &mut Block<'_, T>) {
        let (mut nodes, mut weights) = (block.take(self.nodes), block.take(self.weights));
        let (parameters, columns) = (block.data(self.parameters), block.columns(self.parameters));
        mixture_nodes(parameters, columns, T::of(self.floor), &mut nodes, &mut weights);
        block.put(self.nodes, nodes);
        block.put(self.weights, weights);
    }

    pub fn backward<T: Real>(&self, _place: usize, _block: &mut Block<'_, T>) {}
}

vectorized! {
    fn mixture_nodes<T, I>(parameters: &[T], columns: usize, floor: T, nodes: &mut [T], weights: &mut [T]) {
        let components = columns / 3;
        let per_row = NODES.len() * components;
        for (i, parameters) in parameters.chunks_exact(columns).enumerate() {
            let row = Row::new::<I>(parameters, floor);
            for (m, &mean) in parameters[components..2 * components].iter().enumerate() {
                for (n, &(node, weight)) in NODES.iter().enumerate() {
                    nodes[i * per_row + m * NODES.len() + n] = mean + T::of(node) * row.deviations[m];
                    weights[i * per_row + m * NODES.len() + n] = T::of(weight) * row.shares[m];
                }
            }
        }
    }
}

impl Mixture {
    pub fn launch(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let (nothing, y) = (on.nothing(), on.data(self.y));
        self.dispatch(on, &nothing, &y, 0)
    }

    pub fn launch_gradient(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        if !self.parameters.trained {
            return Ok(());
        }
        let (d_y, d_parameters) = (on.gradient(self.y), on.gradient(self.parameters));
        self.dispatch(on, &d_y, &d_parameters, 1)
    }

    fn dispatch(
        &self,
        on: &mut Launch<'_>,
        d_y: &wgpu::Buffer,
        results: &wgpu::Buffer,
        gradient: u32,
    ) -> Result<(), Error> {
        let rows = on.rows(self.y);
        let params = MixtureParams {
            rows: rows as u32,
            components: on.columns(self.parameters) as u32 / 3,
            floor: (self.floor as f32).to_bits(),
            gradient,
        };
        let (parameters, gap, kinds) = (on.data(self.parameters), on.data(self.gap), on.ids(self.kinds));
        let buffers = [&parameters, &gap, &kinds, d_y, results];
        on.pass.dispatch(&on.kernels.mixture, &params, &buffers, groups(rows))
    }
}

impl AffineMixture {
    pub fn launch(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let k = on.kernels;
        let len = on.len(self.y);
        let params = AffineMixtureParams { len: len as u32, components: on.columns(self.y) as u32 / 3 };
        let buffers = [&on.data(self.parameters), &on.data(self.map), &on.data(self.y)];
        on.pass.dispatch(&k.affine_mixture, &params, &buffers, groups(len))
    }

    pub fn launch_gradient(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let rows = on.rows(self.y);
        let d_maps = on.packed(0, 2 * rows)?;
        let params = AffineMixtureGradientParams {
            rows: rows as u32,
            components: on.columns(self.y) as u32 / 3,
            of_x: self.parameters.trained.into(),
        };
        let d_x = on.gradient_or_nothing(self.parameters);
        let buffers = [&on.gradient(self.y), &on.data(self.parameters), &on.data(self.map), &d_x, &d_maps];
        on.pass.dispatch(&on.kernels.affine_mixture_gradient, &params, &buffers, groups(rows))?;
        on.weight_gradient(None, &d_maps, (rows, 2), None, Some(self.map))
    }
}

impl MixtureNodes {
    pub fn launch(&self, _place: usize, on: &mut Launch<'_>) -> Result<(), Error> {
        let k = on.kernels;
        let rows = on.rows(self.parameters);
        let components = on.columns(self.parameters) as u32 / 3;
        let floor = (self.floor as f32).to_bits();
        let params = MixtureNodesParams { rows: rows as u32, components, floor };
        let buffers = [&on.data(self.parameters), &on.data(self.nodes), &on.data(self.weights)];
        on.pass.dispatch(&k.mixture_nodes, &params, &buffers, groups(rows))
    }

    pub fn launch_gradient(&self, _place: usize, _on: &mut Launch<'_>) -> Result<(), Error> {
        Ok(())
    }
}
