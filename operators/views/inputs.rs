//! A view's expressions over rows: WHERE, keys, arguments.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array},
    compute::{filter, prep_null_mask_filter, take},
};
use datafusion::{common::Result, physical_expr::PhysicalExpr};

use super::View;

/// What the aggregates read of rows.
pub(crate) struct Inputs {
    /// Of the extra keys.
    pub(crate) keys: Vec<ArrayRef>,
    /// Of each aggregate.
    pub(crate) arguments: Vec<Vec<ArrayRef>>,
    pub(crate) filters: Vec<Option<BooleanArray>>,
}

impl View {
    /// A batch of the view's columns.
    pub(crate) fn batch(&self, columns: Vec<ArrayRef>, rows: usize) -> RecordBatch {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.input), columns, &options)
            .expect("columns are gathered by the view's own schema")
    }

    /// Evaluates `WHERE`; none is all.
    pub(crate) fn passes(&self, batch: &RecordBatch) -> Result<Option<BooleanArray>> {
        self.filter.as_ref().map(|filter| mask(filter, batch)).transpose()
    }

    /// Evaluates keys, arguments and filters of aggregates.
    pub(crate) fn inputs(&self, batch: &RecordBatch) -> Result<Inputs> {
        let rows = batch.num_rows();
        let value = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(batch)?.into_array(rows);
        let mut inputs = Inputs {
            keys: self.keys.iter().map(value).collect::<Result<_>>()?,
            arguments: Vec::with_capacity(self.aggregates.len()),
            filters: Vec::with_capacity(self.aggregates.len()),
        };
        for aggregate in &self.aggregates {
            inputs.arguments.push(aggregate.arguments.iter().map(value).collect::<Result<_>>()?);
            inputs.filters.push(aggregate.filter.as_ref().map(|filter| mask(filter, batch)).transpose()?);
        }
        Ok(inputs)
    }
}

/// A condition per row; null is false.
pub(crate) fn mask(filter: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<BooleanArray> {
    let mask = filter.evaluate(batch)?.into_array(batch.num_rows())?;
    let mask = mask.as_boolean();
    Ok(if mask.null_count() > 0 { prep_null_mask_filter(mask) } else { mask.clone() })
}

impl Inputs {
    fn each(&mut self, change: &dyn Fn(&dyn Array) -> Result<ArrayRef>) -> Result<()> {
        for column in self.keys.iter_mut().chain(self.arguments.iter_mut().flatten()) {
            *column = change(column.as_ref())?;
        }
        for filter in self.filters.iter_mut().flatten() {
            *filter = change(filter)?.as_boolean().clone();
        }
        Ok(())
    }

    /// A part of the rows, nothing copied.
    pub(crate) fn slice(&self, from: usize, rows: usize) -> Self {
        let slice = |columns: &Vec<ArrayRef>| columns.iter().map(|column| column.slice(from, rows)).collect();
        Self {
            keys: slice(&self.keys),
            arguments: self.arguments.iter().map(slice).collect(),
            filters: self.filters.iter().map(|f| f.as_ref().map(|f| f.slice(from, rows))).collect(),
        }
    }

    /// Keeps the rows of `mask`.
    pub(crate) fn keep(&mut self, mask: &BooleanArray) -> Result<()> {
        self.each(&|column| Ok(filter(column, mask)?))
    }

    /// Puts the rows into the order of `rows`.
    pub(crate) fn reorder(&mut self, rows: &UInt32Array) -> Result<()> {
        self.each(&|column| Ok(take(column, rows, None)?))
    }
}
