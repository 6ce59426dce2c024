//! Which rows made an expression fail.

use arrow::array::RecordBatch;
use datafusion::common::Result;

/// A row that fails, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Culprit {
    pub(crate) row: usize,
    pub(crate) error: String,
}

/// Every row of `batch` on which `evaluate` fails, ascending; k of n rows cost k·log n evaluations.
pub(crate) fn culprits<T>(batch: &RecordBatch, evaluate: &dyn Fn(&RecordBatch) -> Result<T>) -> Vec<Culprit> {
    let mut found = Vec::new();
    search(batch, 0, evaluate, &mut found);
    found
}

fn search<T>(batch: &RecordBatch, from: usize, evaluate: &dyn Fn(&RecordBatch) -> Result<T>, found: &mut Vec<Culprit>) {
    let rows = batch.num_rows();
    let Err(error) = evaluate(batch) else { return };
    if rows <= 1 {
        if rows == 1 {
            found.push(Culprit { row: from, error: error.strip_backtrace() });
        }
        return;
    }
    let half = rows / 2;
    search(&batch.slice(0, half), from, evaluate, found);
    search(&batch.slice(half, rows - half), from + half, evaluate, found);
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::{
        array::{ArrayRef, AsArray, Int64Array},
        datatypes::Int64Type,
    };
    use datafusion::common::exec_err;
    use std::sync::Arc;

    #[test]
    fn every_culprit_is_found() {
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values([1, 0, 3, 4, 0, 0, 7]));
        let batch = RecordBatch::try_from_iter([("v", values)]).unwrap();
        let evaluate = |batch: &RecordBatch| {
            let column = batch.column(0).as_primitive::<Int64Type>();
            if column.values().contains(&0) { exec_err!("zero") } else { Ok(()) }
        };
        let rows: Vec<usize> = culprits(&batch, &evaluate).into_iter().map(|culprit| culprit.row).collect();
        assert_eq!(rows, [1, 4, 5]);
    }
}
