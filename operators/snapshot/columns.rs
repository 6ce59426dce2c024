//! Lists as Arrow has them.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StructArray},
    buffer::{OffsetBuffer, ScalarBuffer},
    datatypes::{ArrowPrimitiveType, Field, Fields},
};

use crate::FoldError;

/// Offsets of a list column that grows: a list is ended when its values are in.
pub(super) struct Offsets(Vec<i32>);

impl Default for Offsets {
    fn default() -> Self {
        Self(vec![0])
    }
}

impl Offsets {
    /// The list that was begun holds all values up to `len`.
    pub(super) fn end(&mut self, len: usize) {
        self.0.push(i32::try_from(len).expect("an export is cut long before 2^31 values"));
    }

    /// The column, its values being `values`.
    pub(super) fn list(self, values: ArrayRef) -> ArrayRef {
        let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
        Arc::new(ListArray::new(field, OffsetBuffer::new(ScalarBuffer::from(self.0)), values, None))
    }

    /// The column of structs.
    pub(super) fn structs(self, fields: Fields, columns: Vec<ArrayRef>) -> ArrayRef {
        let len = columns[0].len();
        let values = StructArray::try_new_with_length(fields, columns, None, len);
        self.list(Arc::new(values.expect("columns are made by the fields")))
    }
}

fn wrong(column: &str) -> FoldError {
    FoldError::Snapshot(format!("its column `{column}` is missing or of another type"))
}

pub(super) fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, FoldError> {
    batch.column_by_name(name).ok_or_else(|| wrong(name))
}

/// A column of numbers.
pub(super) fn numbers<'a, T: ArrowPrimitiveType>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a arrow::array::PrimitiveArray<T>, FoldError> {
    column(batch, name)?.as_primitive_opt::<T>().ok_or_else(|| wrong(name))
}

/// A list column: whose values are where.
pub(super) struct Lists<'a> {
    name: &'a str,
    list: &'a ListArray,
}

impl<'a> Lists<'a> {
    pub(super) fn find(batch: &'a RecordBatch, name: &'a str) -> Result<Self, FoldError> {
        let list = column(batch, name)?.as_list_opt::<i32>().ok_or_else(|| wrong(name))?;
        Ok(Self { name, list })
    }

    /// Where the values of a row lie.
    pub(super) fn range(&self, row: usize) -> Range<usize> {
        let offsets = self.list.value_offsets();
        offsets[row] as usize..offsets[row + 1] as usize
    }

    /// All values, numbers.
    pub(super) fn numbers<T: ArrowPrimitiveType>(&self) -> Result<&'a [T::Native], FoldError> {
        let values = self.list.values().as_primitive_opt::<T>().ok_or_else(|| wrong(self.name))?;
        Ok(values.values())
    }

    /// All values, a batch of their fields.
    pub(super) fn structs(&self) -> Result<RecordBatch, FoldError> {
        let values = self.list.values().as_struct_opt().ok_or_else(|| wrong(self.name))?;
        Ok(RecordBatch::from(values.clone()))
    }
}
