//! The rows that arrived since the last flush, as a view sees them.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, UInt32Array},
    compute::{filter_record_batch, take_record_batch},
};
use datafusion::common::Result;

use super::{
    View,
    bisect::{Culprit, culprits},
    inputs::Inputs,
};
use crate::{report::Reports, store::Store};

/// Columns of the arrived rows, gathered when first asked for and shared by all views.
pub(crate) struct Arrived {
    pub(crate) slots: Vec<u32>,
    columns: Vec<Option<ArrayRef>>,
}

impl Arrived {
    pub(crate) fn new(slots: Vec<u32>, store: &Store) -> Self {
        Self { slots, columns: vec![None; store.schema.fields().len()] }
    }

    fn column(&mut self, store: &Store, column: usize) -> ArrayRef {
        let Self { slots, columns } = self;
        Arc::clone(columns[column].get_or_insert_with(|| store.gather(slots, column)))
    }

    fn batch(&mut self, view: &View, store: &Store) -> RecordBatch {
        let mut columns: Vec<ArrayRef> = view.columns.iter().map(|&column| self.column(store, column)).collect();
        if view.uses_age {
            columns.push(Arc::new(Int64Array::from_value(0, self.slots.len())));
        }
        view.batch(columns, self.slots.len())
    }
}

/// Rows that pass a view's `WHERE` and on which its expressions do not fail.
pub(crate) struct Passing {
    /// Their places among the arrived rows, ascending.
    pub(crate) rows: Vec<u32>,
    pub(crate) inputs: Inputs,
}

impl Passing {
    /// Finds them; rows on which an expression fails are reported, once.
    pub(crate) fn of(view: &View, arrived: &mut Arrived, store: &Store, reports: &mut Reports) -> Result<Self> {
        let (rows, batch) = filtered(view, arrived, store, reports)?;
        let inputs = match view.inputs(&batch) {
            Ok(inputs) => return Ok(Self { rows, inputs }),
            Err(error) => error,
        };
        let bad = culprits(&batch, &|batch| view.inputs(batch));
        if bad.is_empty() {
            return Err(inputs);
        }
        let (rows, batch) = without(view, rows, batch, bad, reports)?;
        Ok(Self { inputs: view.inputs(&batch)?, rows })
    }

    /// Leaves out the rows of which `keep` says false.
    pub(crate) fn keep(&mut self, keep: &BooleanArray) -> Result<()> {
        let mut kept = keep.values().iter();
        self.rows.retain(|_| kept.next().expect("one for each row"));
        self.inputs.keep(keep)
    }
}

/// Rows of a history view that pass its `WHERE` and do not make it fail, as far as it can be told from the row alone:
/// where expressions read `age_ms`, it is told when they are evaluated.
pub(crate) fn included(view: &View, arrived: &mut Arrived, store: &Store, reports: &mut Reports) -> Result<Vec<u32>> {
    if view.can_fail && !view.uses_age {
        return Ok(Passing::of(view, arrived, store, reports)?.rows);
    }
    Ok(filtered(view, arrived, store, reports)?.0)
}

fn filtered(
    view: &View,
    arrived: &mut Arrived,
    store: &Store,
    reports: &mut Reports,
) -> Result<(Vec<u32>, RecordBatch)> {
    let rows = (0..arrived.slots.len() as u32).collect();
    let batch = arrived.batch(view, store);
    if view.filter_uses_age {
        return Ok((rows, batch));
    }
    let (rows, batch, mask) = match view.passes(&batch) {
        Ok(mask) => (rows, batch, mask),
        Err(error) => {
            let bad = culprits(&batch, &|batch| view.passes(batch));
            if bad.is_empty() {
                return Err(error);
            }
            let (rows, batch) = without(view, rows, batch, bad, reports)?;
            let mask = view.passes(&batch)?;
            (rows, batch, mask)
        }
    };
    match mask {
        Some(mask) if mask.true_count() < mask.len() => {
            let mut passes = mask.values().iter();
            let rows = rows.into_iter().filter(|_| passes.next().expect("one for each row")).collect();
            Ok((rows, filter_record_batch(&batch, &mask)?))
        }
        _ => Ok((rows, batch)),
    }
}

/// Reports the culprits and leaves them out.
fn without(
    view: &View,
    rows: Vec<u32>,
    batch: RecordBatch,
    bad: Vec<Culprit>,
    reports: &mut Reports,
) -> Result<(Vec<u32>, RecordBatch)> {
    let mut is_good = vec![true; rows.len()];
    for culprit in bad {
        is_good[culprit.row] = false;
        reports.dead(rows[culprit.row], view.index, culprit.error);
    }
    let good = UInt32Array::from_iter_values((0..rows.len() as u32).filter(|&row| is_good[row as usize]));
    let rows = good.values().iter().map(|&row| rows[row as usize]).collect();
    Ok((rows, take_record_batch(&batch, &good)?))
}
