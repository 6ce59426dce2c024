//! `count(DISTINCT text)` over many groups: DataFusion's own keeps a hash set per group.
//!
//! The state is DataFusion's, a list of the distinct texts of each group.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, StringArray, StringViewBuilder},
    buffer::OffsetBuffer,
    datatypes::{DataType, FieldRef},
};
use datafusion::{
    common::{Result, exec_err},
    logical_expr::{EmitTo, GroupsAccumulator},
    physical_expr::aggregate::AggregateFunctionExpr,
};
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64_with_seed;

struct Entry {
    group: u32,
    from: usize,
    bytes: u32,
}

/// Distinct texts of groups.
pub(super) struct DistinctTexts {
    item: FieldRef,
    table: HashTable<u32>,
    entries: Vec<Entry>,
    texts: Vec<u8>,
    counts: Vec<i64>,
}

impl DistinctTexts {
    /// An accumulator for `function` where it is `count(DISTINCT text)`.
    pub(super) fn of(function: &AggregateFunctionExpr) -> Result<Option<Self>> {
        if function.fun().name() != "count" || !function.is_distinct() || function.expressions().len() != 1 {
            return Ok(None);
        }
        match function.state_fields()?[0].data_type() {
            DataType::List(item) if matches!(item.data_type(), DataType::Utf8 | DataType::Utf8View) => {
                Ok(Some(Self::new(Arc::clone(item))))
            }
            _ => Ok(None),
        }
    }

    fn new(item: FieldRef) -> Self {
        Self { item, table: HashTable::new(), entries: Vec::new(), texts: Vec::new(), counts: Vec::new() }
    }

    fn insert(&mut self, group: usize, text: &str) {
        let Self { table, entries, texts, counts, .. } = self;
        let hash = xxh3_64_with_seed(text.as_bytes(), group as u64);
        let is_same = |at: &u32| {
            let entry = &entries[*at as usize];
            entry.group as usize == group && &texts[entry.from..entry.from + entry.bytes as usize] == text.as_bytes()
        };
        if table.find(hash, is_same).is_some() {
            return;
        }
        let rehash = |at: &u32| {
            let entry = &entries[*at as usize];
            xxh3_64_with_seed(&texts[entry.from..entry.from + entry.bytes as usize], u64::from(entry.group))
        };
        table.insert_unique(hash, entries.len() as u32, rehash);
        entries.push(Entry { group: group as u32, from: texts.len(), bytes: text.len() as u32 });
        texts.extend_from_slice(text.as_bytes());
        counts[group] += 1;
    }

    fn take(&mut self, emit_to: EmitTo) -> Result<Self> {
        if emit_to != EmitTo::All {
            return exec_err!("groups are only taken all at once");
        }
        let item = Arc::clone(&self.item);
        Ok(std::mem::replace(self, Self::new(item)))
    }
}

/// The texts of `array`; none where null.
fn texts(array: &ArrayRef) -> Box<dyn Iterator<Item = Option<&str>> + '_> {
    match array.data_type() {
        DataType::Utf8 => Box::new(array.as_string::<i32>().iter()),
        _ => Box::new(array.as_string_view().iter()),
    }
}

impl GroupsAccumulator for DistinctTexts {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.counts.resize(total_num_groups, 0);
        for (row, (text, &group)) in texts(&values[0]).zip(group_indices).enumerate() {
            if let Some(text) = text
                && opt_filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
            {
                self.insert(group, text);
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.counts.resize(total_num_groups, 0);
        let lists = values[0].as_list::<i32>();
        for (row, &group) in group_indices.iter().enumerate() {
            for text in texts(&lists.value(row)).flatten() {
                self.insert(group, text);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from(self.take(emit_to)?.counts)))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let mut taken = self.take(emit_to)?;
        taken.entries.sort_by_key(|entry| entry.group);
        let of = |entry: &Entry| {
            std::str::from_utf8(&taken.texts[entry.from..entry.from + entry.bytes as usize])
                .expect("texts are kept whole")
        };
        let texts: ArrayRef = if *taken.item.data_type() == DataType::Utf8 {
            Arc::new(taken.entries.iter().map(|entry| Some(of(entry))).collect::<StringArray>())
        } else {
            let mut builder = StringViewBuilder::with_capacity(taken.entries.len());
            taken.entries.iter().for_each(|entry| builder.append_value(of(entry)));
            Arc::new(builder.finish())
        };
        let offsets = OffsetBuffer::from_lengths(taken.counts.iter().map(|count| *count as usize));
        Ok(vec![Arc::new(ListArray::try_new(taken.item, offsets, texts, None)?)])
    }

    fn convert_to_state(&self, _: &[ArrayRef], _: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        exec_err!("rows are accumulated, not converted")
    }

    fn size(&self) -> usize {
        self.texts.capacity() + self.entries.capacity() * size_of::<Entry>() + self.counts.capacity() * 8
    }
}
