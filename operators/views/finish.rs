//! From the aggregates of groups to records: HAVING, SELECT, JSON.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringViewArray, UInt32Array},
    compute::take_record_batch,
};
use datafusion::common::Result;

use super::{
    View,
    bisect::{Culprit, culprits},
    inputs::mask,
    plan::GroupColumn,
};
use crate::{json::cell, state::State};

/// A group whose aggregates are known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grouped<'a> {
    pub(crate) user: u32,
    /// What SELECT sees of the window: its start, or T.
    pub(crate) window: i64,
    /// The extra keys.
    pub(crate) key: &'a [u8],
}

/// What HAVING and SELECT made of groups.
pub(crate) struct Finished {
    /// Per group its row in `columns`; none where HAVING is false or an expression failed.
    pub(crate) rows: Vec<Option<u32>>,
    columns: Vec<ArrayRef>,
    /// The extra keys, per group.
    pub(crate) keys: Vec<ArrayRef>,
    /// Groups on which HAVING or SELECT failed.
    pub(crate) culprits: Vec<Culprit>,
}

impl View {
    /// Evaluates HAVING and SELECT over groups and their aggregates.
    pub(crate) fn finish(&self, state: &State, groups: &[Grouped<'_>], aggregates: Vec<ArrayRef>) -> Result<Finished> {
        let keys = self.key_columns(groups.iter().map(|group| group.key))?;
        let column = |column: &GroupColumn| -> ArrayRef {
            match column {
                GroupColumn::User => {
                    let ids = groups.iter().map(|group| &*state.users[group.user as usize].id);
                    Arc::new(StringViewArray::from_iter_values(ids))
                }
                GroupColumn::Window => Arc::new(Int64Array::from_iter_values(groups.iter().map(|group| group.window))),
                GroupColumn::Key(key) => Arc::clone(&keys[*key]),
            }
        };
        let columns = self.layout.iter().map(column).chain(aggregates).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(groups.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.grouped), columns, &options)?;
        let mut finished = Finished {
            rows: (0..groups.len() as u32).map(Some).collect(),
            columns: Vec::new(),
            keys,
            culprits: Vec::new(),
        };
        let batch = self.having(batch, &mut finished)?;
        self.select(batch, &mut finished)?;
        Ok(finished)
    }

    /// The extra keys as columns.
    pub(crate) fn key_columns<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        let Some(converter) = &self.key_rows else { return Ok(Vec::new()) };
        let parser = converter.parser();
        Ok(converter.convert_rows(keys.map(|key| parser.parse(key)))?)
    }

    fn having(&self, batch: RecordBatch, finished: &mut Finished) -> Result<RecordBatch> {
        let Some(having) = &self.having else { return Ok(batch) };
        let batch = without_culprits(batch, finished, &|batch| mask(having, batch))?;
        let holds = mask(having, &batch)?;
        if holds.true_count() == holds.len() {
            return Ok(batch);
        }
        keep(batch, finished, |row| holds.value(row))
    }

    fn select(&self, batch: RecordBatch, finished: &mut Finished) -> Result<()> {
        let select = |batch: &RecordBatch| -> Result<Vec<ArrayRef>> {
            self.shown.iter().map(|(_, expr)| expr.evaluate(batch)?.into_array(batch.num_rows())).collect()
        };
        finished.columns = match select(&batch) {
            Ok(columns) => columns,
            Err(_) => select(&without_culprits(batch, finished, &select)?)?,
        };
        Ok(())
    }

    /// Writes what SELECT shows of row `row`, each column with a comma before it.
    pub(crate) fn show(&self, out: &mut Vec<u8>, finished: &Finished, row: u32) {
        for ((label, _), column) in self.shown.iter().zip(&finished.columns) {
            out.extend_from_slice(label);
            cell(out, column.as_ref(), row as usize);
        }
    }
}

/// Leaves out the groups on which `evaluate` fails.
fn without_culprits<T>(
    batch: RecordBatch,
    finished: &mut Finished,
    evaluate: &dyn Fn(&RecordBatch) -> Result<T>,
) -> Result<RecordBatch> {
    if evaluate(&batch).is_ok() {
        return Ok(batch);
    }
    let bad = culprits(&batch, evaluate);
    let mut is_bad = vec![false; batch.num_rows()];
    bad.iter().for_each(|culprit| is_bad[culprit.row] = true);
    let group_of: Vec<usize> = (0..finished.rows.len()).filter(|&group| finished.rows[group].is_some()).collect();
    finished.culprits.extend(bad.into_iter().map(|culprit| Culprit { row: group_of[culprit.row], ..culprit }));
    keep(batch, finished, |row| !is_bad[row])
}

/// Keeps the rows of `batch` that `is_kept` names, and tells `finished` where they went.
fn keep(batch: RecordBatch, finished: &mut Finished, is_kept: impl Fn(usize) -> bool) -> Result<RecordBatch> {
    let mut kept = Vec::new();
    for place in &mut finished.rows {
        if let Some(row) = *place {
            *place = is_kept(row as usize).then(|| {
                kept.push(row);
                kept.len() as u32 - 1
            });
        }
    }
    Ok(take_record_batch(&batch, &UInt32Array::from(kept))?)
}
