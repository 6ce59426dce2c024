//! A view's aggregates over many groups at once.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, UInt32Array},
    row::Rows,
};
use datafusion::{
    common::Result,
    logical_expr::{EmitTo, GroupsAccumulator},
    physical_expr::{GroupsAccumulatorAdapter, aggregate::AggregateFunctionExpr},
};

use super::{View, distinct::DistinctTexts, inputs::Inputs};

/// Accumulators of all aggregates of a view, for groups numbered from 0.
pub(crate) struct Accumulators<'v> {
    view: &'v View,
    list: Vec<Box<dyn GroupsAccumulator>>,
    groups: usize,
}

/// The states of groups, as bytes.
pub(crate) struct States(Option<Rows>);

impl States {
    /// The state of a group.
    pub(crate) fn get(&self, group: usize) -> &[u8] {
        self.0.as_ref().map_or(&[], |rows| rows.row(group).data())
    }
}

impl<'v> Accumulators<'v> {
    /// Accumulators for `groups` groups, each with its empty value.
    pub(crate) fn new(view: &'v View, groups: usize) -> Result<Self> {
        let mut list = Vec::with_capacity(view.aggregates.len());
        for aggregate in &view.aggregates {
            let mut accumulator = accumulator(&aggregate.function)?;
            // DataFusion's own operator never numbers a group that no row has, so its accumulators take groups for seen
            // once a batch without nulls came. A filter makes them look, here and from now on.
            accumulator.update_batch(&aggregate.no_rows, &[], Some(&BooleanArray::from(Vec::<bool>::new())), groups)?;
            list.push(accumulator);
        }
        Ok(Self { view, list, groups })
    }

    /// Adds stored states, `states[i]` to group `groups[i]`.
    pub(crate) fn merge(&mut self, states: &[&[u8]], groups: &[usize]) -> Result<()> {
        let Some(converter) = &self.view.state_rows else { return Ok(()) };
        if states.is_empty() {
            return Ok(());
        }
        let parser = converter.parser();
        let columns = converter.convert_rows(states.iter().map(|bytes| parser.parse(bytes)))?;
        let mut columns = columns.as_slice();
        for (aggregate, accumulator) in self.view.aggregates.iter().zip(&mut self.list) {
            let (own, rest) = columns.split_at(aggregate.states);
            accumulator.merge_batch(own, groups, self.groups)?;
            columns = rest;
        }
        Ok(())
    }

    /// Adds rows, row i to group `groups[i]`.
    pub(crate) fn update(&mut self, inputs: &Inputs, groups: &[usize]) -> Result<()> {
        let columns = inputs.arguments.iter().zip(&inputs.filters);
        for (accumulator, (arguments, filter)) in self.list.iter_mut().zip(columns) {
            accumulator.update_batch(arguments, groups, filter.as_ref(), self.groups)?;
        }
        Ok(())
    }

    /// Adds rows that arrived after those in the states that were merged. In a view that looks at the order of rows
    /// they are put into that of time, then arrival, and merged, for they may belong before what is there.
    pub(crate) fn add(
        &mut self,
        mut inputs: Inputs,
        mut groups: Vec<usize>,
        time: impl Fn(usize) -> i64,
    ) -> Result<()> {
        if !self.view.is_ordered {
            return self.update(&inputs, &groups);
        }
        let mut order: Vec<u32> = (0..groups.len() as u32).collect();
        order.sort_by_key(|&at| time(at as usize));
        groups = order.iter().map(|&at| groups[at as usize]).collect();
        inputs.reorder(&UInt32Array::from(order))?;
        let mut fresh = Self::new(self.view, self.groups)?;
        fresh.update(&inputs, &groups)?;
        let states = fresh.states()?;
        groups.sort_unstable();
        groups.dedup();
        self.merge(&groups.iter().map(|&group| states.get(group)).collect::<Vec<_>>(), &groups)
    }

    /// The states of all groups.
    pub(crate) fn states(mut self) -> Result<States> {
        let Some(converter) = &self.view.state_rows else { return Ok(States(None)) };
        let mut columns = Vec::new();
        for accumulator in &mut self.list {
            columns.extend(accumulator.state(EmitTo::All)?);
        }
        Ok(States(Some(converter.convert_columns(&columns)?)))
    }

    /// The values of all groups, a column per aggregate.
    pub(crate) fn values(mut self) -> Result<Vec<ArrayRef>> {
        self.list.iter_mut().map(|accumulator| accumulator.evaluate(EmitTo::All)).collect()
    }
}

fn accumulator(function: &Arc<AggregateFunctionExpr>) -> Result<Box<dyn GroupsAccumulator>> {
    if let Some(own) = DistinctTexts::of(function)? {
        return Ok(Box::new(own));
    }
    if function.groups_accumulator_supported() {
        return function.create_groups_accumulator();
    }
    let function = Arc::clone(function);
    Ok(Box::new(GroupsAccumulatorAdapter::new(move || function.create_accumulator())))
}
