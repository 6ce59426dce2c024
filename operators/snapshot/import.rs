//! Batches to users.

use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Int32Type, Int64Type, Schema, UInt16Type, UInt32Type, UInt64Type},
};

use super::{
    NOTE, SOURCE_OFFSET, SOURCE_PARTITION, SOURCE_TOPIC, VIEWS, ViewIdentity,
    columns::{Lists, column, numbers},
};
use crate::{
    Fold, FoldError, Views,
    report::Reports,
    store::{IN_HISTORY, IN_ITEMS, Incoming, Place},
    user::{Open, Seen},
    views::{
        arrived::{Arrived, included},
        window::next_look,
    },
};

/// A task that is being restored from a chain of exports, the newest first.
pub struct Restore<'f> {
    fold: &'f mut Fold,
    task: i32,
    watermark: i64,
    /// By the place of a view in the exports: its place now.
    views: Vec<Option<u16>>,
    /// Pairs of bits of the rows' marks: then and now.
    bits: Vec<(usize, usize)>,
    /// Views over the history that the exports do not know.
    fresh: Vec<u16>,
    /// Users who were gone in a newer export.
    gone: HashSet<Box<str>>,
}

impl Fold {
    /// Begins a task anew with the state that exports hold. `watermark` is the minimum in force
    /// at their place in the log, ms; `views` those that they were made under.
    ///
    /// # Errors
    /// Where the cold store fails.
    pub fn restore(&mut self, task: i32, watermark: i64, views: &[ViewIdentity]) -> Result<Restore<'_>, FoldError> {
        self.revoke(task)?;
        self.assign(task);
        self.advance(task, watermark);
        self.state.task(task).close_all(watermark);
        let now = self.views.identities();
        let places: Vec<Option<u16>> =
            views.iter().map(|then| now.iter().position(|now| now == then).map(|at| at as u16)).collect();
        let bit = |views: &[ViewIdentity], at: usize| views[..at].iter().filter(|view| view.from_history).count();
        let known = places.iter().enumerate().filter(|(then, _)| views[*then].from_history);
        let bits = known.filter_map(|(then, at)| Some((bit(views, then), bit(&now, usize::from((*at)?))))).collect();
        let is_fresh = |&at: &u16| now[usize::from(at)].from_history && !places.contains(&Some(at));
        let fresh = (0..now.len() as u16).filter(is_fresh).collect();
        Ok(Restore { fold: self, task, watermark, views: places, bits, fresh, gone: HashSet::new() })
    }
}

impl Views {
    /// What tells these views from others, in order.
    pub fn identities(&self) -> Vec<ViewIdentity> {
        let identity = |view: &crate::views::View| ViewIdentity {
            name: view.name.clone(),
            sql_hash: format!("{:016x}", view.sql_hash),
            from_history: view.window.is_from_history(),
        };
        self.list.iter().map(identity).collect()
    }
}

/// The columns of an export.
struct Columns<'a> {
    event_ids: Lists<'a>,
    rows: Lists<'a>,
    items: Lists<'a>,
    windows: Lists<'a>,
    seen: Lists<'a>,
    history: &'a [u32],
}

impl Restore<'_> {
    /// Takes the users of a batch who are in no newer one.
    ///
    /// # Errors
    /// Where the batch is not an export's, or a column of events has another type now.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<(), FoldError> {
        let user_ids = column(batch, "user_id")?
            .as_string_opt::<i32>()
            .ok_or_else(|| FoldError::Snapshot("its column `user_id` is no text".into()))?;
        let ordinals = numbers::<UInt64Type>(batch, "ordinal")?;
        let columns = Columns {
            event_ids: Lists::find(batch, "event_ids")?,
            rows: Lists::find(batch, "rows")?,
            items: Lists::find(batch, "items")?,
            windows: Lists::find(batch, "windows")?,
            seen: Lists::find(batch, "seen")?,
            history: numbers::<UInt32Type>(batch, "history")?.values(),
        };
        let mut users = Vec::new();
        for row in 0..batch.num_rows() {
            let id = user_ids.value(row);
            if self.gone.contains(id) || self.fold.state.knows(self.task, id)? {
                continue;
            }
            if ordinals.is_null(row) {
                self.gone.insert(id.into());
                continue;
            }
            let user = self.fold.state.user(self.task, id)?.ok_or(FoldError::NotAssigned(self.task))?;
            self.fold.state.users[user as usize].ordinal = ordinals.value(row);
            users.push((user, row));
        }
        let slots = self.rows(&columns, &users)?;
        self.mark(&slots)?;
        self.event_ids(&columns, &users)?;
        self.windows(&columns, &users)?;
        self.seen(&columns, &users)?;
        let notes = column(batch, NOTE)?.as_binary_opt::<i32>();
        let notes = notes.ok_or_else(|| FoldError::Snapshot("its column `note` is no bytes".into()))?;
        users.iter().for_each(|&(user, row)| self.fold.state.users[user as usize].note = notes.value(row).into());
        for &(user, _) in &users {
            self.fold.state.arm_all(self.task, user);
            self.fold.state.weigh(user);
        }
        Ok(self.fold.state.evict()?)
    }

    /// Rows, histories and item windows; returns the slots.
    fn rows(&mut self, columns: &Columns<'_>, users: &[(u32, usize)]) -> Result<Vec<u32>, FoldError> {
        let rows = with_views(&columns.rows.structs()?)?;
        let state = &mut self.fold.state;
        let schema = Arc::clone(&state.store.schema);
        let find = |index| Incoming::find(&rows, &schema, index);
        let incoming = (0..schema.fields().len()).map(find).collect::<Result<Vec<_>, _>>()?;
        let topics = column(&rows, SOURCE_TOPIC)?.as_string_view();
        let partitions = numbers::<Int32Type>(&rows, SOURCE_PARTITION)?.values();
        let offsets = numbers::<Int64Type>(&rows, SOURCE_OFFSET)?.values();
        let marks = column(&rows, VIEWS)?.as_binary::<i32>();
        let items = columns.items.numbers::<UInt32Type>()?;
        let (mut slots, mut last) = (Vec::new(), None::<(&str, u32)>);
        for &(user, at) in users {
            let (first, range) = (slots.len(), columns.rows.range(at));
            for row in range {
                let name = topics.value(row);
                // Neighbors are of one topic as a rule: no allocation a row.
                let (_, topic) = *match &mut last {
                    Some(last) if last.0 == name => last,
                    last => last.insert((name, state.store.topic(&name.into()))),
                };
                let place = Place { topic, partition: partitions[row], offset: offsets[row] };
                let slot = state.store.insert(&incoming, row, place);
                for &(then, now) in &self.bits {
                    if marks.value(row).get(then / 8).is_some_and(|byte| byte >> (then % 8) & 1 == 1) {
                        state.store.include(slot, now);
                    }
                }
                slots.push(slot);
            }
            let own = &slots[first..];
            let history = own.get(..columns.history[at] as usize).filter(|history| !history.is_empty());
            let history = history.ok_or_else(|| FoldError::Snapshot("it has a user without a history".into()))?;
            let items = items[columns.items.range(at)].iter().map(|&place| own.get(place as usize).copied());
            let items: Option<Vec<u32>> = items.collect();
            let items = items.ok_or_else(|| FoldError::Snapshot("it has an item window without rows".into()))?;
            let history = &history[history.len().saturating_sub(state.history_max_events)..];
            let items = &items[items.len().saturating_sub(state.item_window)..];
            history.iter().for_each(|&slot| state.store.hold(slot, IN_HISTORY));
            items.iter().for_each(|&slot| state.store.hold(slot, IN_ITEMS));
            own.iter().for_each(|&slot| state.store.drop_unheld(slot));
            let user = &mut state.users[user as usize];
            user.history = history.iter().copied().collect();
            user.items = items.iter().copied().collect();
        }
        Ok(slots)
    }

    /// Finds out which rows are in views that the export does not know.
    fn mark(&mut self, slots: &[u32]) -> Result<(), FoldError> {
        let views = Arc::clone(&self.fold.views);
        let store = &mut self.fold.state.store;
        let mut arrived = Arrived::new(slots.to_vec(), store);
        for view in self.fresh.iter().map(|&at| &views.list[usize::from(at)]) {
            // A row that makes the view fail was not its row before either.
            let rows = included(view, &mut arrived, store, &mut Reports::default());
            let rows = rows.map_err(|e| FoldError::View { view: view.name.clone(), error: Box::new(e) })?;
            rows.iter().for_each(|&row| store.include(slots[row as usize], view.bit));
        }
        Ok(())
    }

    fn event_ids(&mut self, columns: &Columns<'_>, users: &[(u32, usize)]) -> Result<(), FoldError> {
        let event_ids = columns.event_ids.numbers::<UInt64Type>()?;
        let most = self.fold.state.dedupe_ids;
        for &(user, at) in users {
            let own = &event_ids[columns.event_ids.range(at)];
            self.fold.state.users[user as usize].event_ids = own[own.len().saturating_sub(most)..].to_vec().into();
        }
        Ok(())
    }

    /// Open windows: those that are not over, of views that are still there.
    fn windows(&mut self, columns: &Columns<'_>, users: &[(u32, usize)]) -> Result<(), FoldError> {
        let windows = columns.windows.structs()?;
        let places = numbers::<UInt16Type>(&windows, "view")?.values();
        let starts = numbers::<Int64Type>(&windows, "start")?.values();
        let ends = numbers::<Int64Type>(&windows, "end")?.values();
        let keys = column(&windows, "key")?.as_binary::<i32>();
        let states = column(&windows, "state")?.as_binary::<i32>();
        let (views, watermark) = (Arc::clone(&self.fold.views), self.watermark);
        for &(user, at) in users {
            for open in columns.windows.range(at) {
                let Some(Some(view)) = self.views.get(usize::from(places[open])).copied() else { continue };
                let (start, end) = (starts[open], ends[open]);
                let window = views.list[usize::from(view)].window;
                let Some(armed) = next_look(window, start, end, watermark) else { continue };
                let (key, bytes) = (keys.value(open).into(), states.value(open).into());
                let window = Open { view, start, end, armed, key, state: bytes };
                self.fold.state.users[user as usize].open(window);
            }
        }
        Ok(())
    }

    fn seen(&mut self, columns: &Columns<'_>, users: &[(u32, usize)]) -> Result<(), FoldError> {
        let seen = columns.seen.structs()?;
        let places = numbers::<UInt16Type>(&seen, "view")?.values();
        let keys = column(&seen, "key")?.as_binary::<i32>();
        for &(user, at) in users {
            let own = columns.seen.range(at).filter_map(|row| {
                let view = self.views.get(usize::from(places[row])).copied()??;
                Some(Seen { view, key: keys.value(row).into() })
            });
            let mut own: Vec<Seen> = own.collect();
            own.sort();
            self.fold.state.users[user as usize].seen = own;
        }
        Ok(())
    }
}

/// The same rows with texts as the store takes them.
fn with_views(rows: &RecordBatch) -> Result<RecordBatch, FoldError> {
    let view = |column: &Arc<dyn Array>| match column.data_type() {
        DataType::Utf8 => cast(column, &DataType::Utf8View).expect("text is a view of text"),
        _ => Arc::clone(column),
    };
    let columns: Vec<_> = rows.columns().iter().map(view).collect();
    let before = rows.schema();
    let fields = before
        .fields()
        .iter()
        .zip(&columns)
        .map(|(field, column)| Arc::new(field.as_ref().clone().with_data_type(column.data_type().clone())));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    RecordBatch::try_new(schema, columns).map_err(|error| FoldError::Snapshot(error.to_string()))
}
