//! The fold: rows in, state moved, records out.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::error::DataFusionError;
use schemas::{event::EventColumns, output::Emit};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    Arrival, ColdStore, Counters, Left, TouchedUser, ViewIdentity, Views,
    cold::{Cold, ColdError},
    report::Reports,
    state::{Pending, State},
    store::{EVENT_ID, ITEM_ID, Incoming, Place, System, TIME, TYPE, USER_ID},
    views::{
        View,
        arrived::{Arrived, included},
        close::close,
        fixed, lifetime,
        newest::Capture,
        session,
        window::Window,
    },
};

/// When views with one value per user emit it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmitMode {
    /// Once per transaction that touched the user.
    #[default]
    Batch,
    /// After every row, in order.
    Event,
}

/// Bounds and ways of a [`Fold`].
#[derive(Clone, Debug)]
pub struct FoldConfig {
    /// The columns of an event.
    pub columns: EventColumns,
    /// How many of a user's last event ids are remembered to drop duplicates; 0 drops none.
    pub dedupe_ids: usize,
    /// Most rows of a user's history; 1 at least.
    pub history_max_events: usize,
    /// Rows of a history that are older than this before the user's newest are dropped.
    pub history_ttl_ms: Option<i64>,
    /// What is kept of a user is forgotten when the watermark is further than this beyond his newest row.
    pub user_ttl_ms: Option<i64>,
    /// Rows that are folded at once.
    pub batch_rows: usize,
    /// When values per user are emitted.
    pub emit: EmitMode,
    /// How many of a user's newest rows with an item are kept for the encoders; 0 keeps none.
    pub item_window: usize,
    /// Whether encoders are told each user's rows in the order of their arrival.
    pub keeps_arrivals: bool,
    /// Whether counters are told of all rows in the order of their arrival.
    pub keeps_order: bool,
}

/// Why rows could not be folded. None of these comes from what an event says: such rows go to `dead-letters`.
/// After one, what was pending is half folded: the fold is to be dropped.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// A column that every row has is not there.
    #[error("rows without the column `{0}`")]
    Absent(String),
    /// A column has another type than it was declared with.
    #[error("the column `{column}` of the rows is {is}, it should be {should}; was `events.columns` changed?")]
    Type {
        /// The column.
        column: String,
        /// Its type.
        is: String,
        /// The declared type.
        should: String,
    },
    /// Rows of a task that this worker does not have.
    #[error("rows of by-user partition {0}, which is not assigned")]
    NotAssigned(i32),
    /// The local store of idle users fails.
    #[error("the local store of idle users (`state.dir`): {0}")]
    Cold(#[from] ColdError),
    /// An export of state that is none.
    #[error("a snapshot cannot be read: {0}")]
    Snapshot(String),
    /// An aggregate failed on rows none of which fails alone.
    #[error("view `{view}`: {error}")]
    View {
        /// The view.
        view: String,
        /// What DataFusion said.
        error: Box<DataFusionError>,
    },
}

/// The keyed state of a worker's tasks, and the views over it.
pub struct Fold {
    pub(crate) views: Arc<Views>,
    batch_rows: usize,
    pub(crate) state: State,
}

impl Fold {
    /// A worker without tasks.
    pub fn new(views: Arc<Views>, config: FoldConfig) -> Self {
        Self { state: State::new(&views, &config), batch_rows: config.batch_rows.max(1), views }
    }

    /// Keeps at most about `limit_bytes` of state in memory beyond what the open transaction touches: the users idle
    /// longest go to `store`, which is empty. Users stay whose newest row is less than `keep_ms` before the watermark.
    pub fn set_cold_store(&mut self, store: Box<dyn ColdStore>, limit_bytes: usize, keep_ms: i64) {
        self.state.cold = Some(Cold::new(store, limit_bytes, keep_ms));
    }

    /// Takes a by-user partition, without state; one that is there stays as it is.
    pub fn assign(&mut self, task: i32) {
        self.state.assign(task);
    }

    /// Drops a by-user partition with all that is kept and pending of it.
    ///
    /// # Errors
    /// Where the cold store fails.
    pub fn revoke(&mut self, task: i32) -> Result<(), FoldError> {
        Ok(self.state.revoke(task)?)
    }

    /// Mutes a task: its state moves, nothing of it is emitted or counted. Flush before, and after muted rows end the
    /// transaction before the task speaks again.
    pub fn set_muted(&mut self, task: i32, muted: bool) {
        if let Some(task) = self.state.tasks.get_mut(&task) {
            task.is_muted = muted;
        }
    }

    /// Takes rows of a task, in the wire schema by name: absent columns are null, others are ignored. `watermark` is
    /// the minimum in force at their place, ms. Folds whenever `batch_rows` rows are pending.
    ///
    /// # Errors
    /// Where the task is not assigned, or the rows are not of the wire schema.
    pub fn push(
        &mut self,
        task: i32,
        topic: &Arc<str>,
        rows: &RecordBatch,
        watermark: i64,
        out: &mut dyn Emit,
    ) -> Result<(), FoldError> {
        let is_muted = self.state.tasks.get(&task).ok_or(FoldError::NotAssigned(task))?.is_muted;
        let system = System::find(rows)?;
        let schema = Arc::clone(&self.state.store.schema);
        let find = |index| Incoming::find(rows, &schema, index);
        let columns = (0..schema.fields().len()).map(find).collect::<Result<Vec<_>, _>>()?;
        let topic = self.state.store.topic(topic);
        for row in 0..rows.num_rows() {
            let id = columns[USER_ID].text(row).ok_or_else(|| FoldError::Absent("user_id".into()))?;
            self.expire_before(task, id, watermark.max(system.stamp[row]), out)?;
            let user = self.state.user(task, id)?.ok_or(FoldError::NotAssigned(task))?;
            if let Some(event_id) = columns[EVENT_ID].text(row)
                && self.state.users[user as usize].is_duplicate(xxh3_64(event_id.as_bytes()), self.state.dedupe_ids)
            {
                self.state.counters.duplicates += u64::from(!is_muted);
                continue;
            }
            let newest_ms = &mut self.state.users[user as usize].newest_ms;
            *newest_ms = (*newest_ms).max(columns[TIME].long(row));
            self.state.counters.rows += u64::from(!is_muted);
            let place = Place { topic, partition: system.partition[row], offset: system.offset[row] };
            let slot = self.state.store.insert(&columns, row, place);
            let watermark = watermark.max(system.stamp[row]);
            self.state.pending.push(Pending { slot, user, watermark, newest: slot });
            if self.state.pending.len() >= self.batch_rows {
                self.flush(out)?;
            }
        }
        Ok(())
    }

    /// Moves a task's minimum: its windows up to there close at the next flush. It never falls; `i64::MIN` is −∞,
    /// `i64::MAX` +∞.
    pub fn advance(&mut self, task: i32, watermark: i64) {
        if let Some(task) = self.state.tasks.get_mut(&task) {
            task.watermark = task.watermark.max(watermark);
            task.heard = task.heard.max(if watermark < i64::MAX { watermark } else { i64::MIN });
        }
    }

    /// Folds what is pending, of all tasks at once, and closes windows.
    ///
    /// # Errors
    /// Where an aggregate fails on rows none of which fails alone.
    pub fn flush(&mut self, out: &mut dyn Emit) -> Result<(), FoldError> {
        let (views, state) = (Arc::clone(&self.views), &mut self.state);
        if !state.pending.is_empty() {
            let mut reports = Reports::default();
            let mut arrived = Arrived::new(state.pending.iter().map(|pending| pending.slot).collect(), &state.store);
            let mut histories: Vec<&View> = Vec::new();
            for view in views.list.iter().filter(|view| view.window.is_from_history()) {
                let rows = included(view, &mut arrived, &state.store, &mut reports).map_err(of(view))?;
                rows.iter().for_each(|&row| state.store.include(arrived.slots[row as usize], view.bit));
                histories.push(view);
            }
            remember(state, &histories, out)?;
            for view in &views.list {
                fold_view(view, state, &mut arrived, &mut reports, out).map_err(of(view))?;
            }
            reports.send(&views, state, out);
            state.pending.clear();
        }
        if state.user_ttl_ms.is_none() {
            return close(&views, state, out, |task| task.watermark);
        }
        // At the end of time nobody is idle, the stream is over: who is gone was gone before.
        close(&views, state, out, |task| task.heard)?;
        self.expire(out)?;
        close(&views, &mut self.state, out, |task| task.watermark)
    }

    /// Ends the transaction's rows: flushes, and in [`EmitMode::Batch`] emits the newest values of the users touched
    /// since the last call.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub fn end_transaction(&mut self, out: &mut dyn Emit) -> Result<(), FoldError> {
        self.flush(out)?;
        let (views, state) = (Arc::clone(&self.views), &mut self.state);
        let due = std::mem::take(&mut state.due);
        due.iter().for_each(|&user| state.users[user as usize].is_due = false);
        if state.emit == EmitMode::Event {
            return Ok(());
        }
        emit_newest(&views, state, &due, out)
    }

    /// How many users were touched since the last release.
    pub fn touched_users(&self) -> usize {
        self.state.touched.len()
    }

    /// The users whose slots may be others' since the last call.
    pub fn take_left(&mut self) -> Vec<Left> {
        std::mem::take(&mut self.state.left)
    }

    /// A user as the encoders see one that nothing has touched; none where the slot is free.
    pub fn user(&self, user: u32) -> Option<TouchedUser<'_>> {
        self.state.untouched(user)
    }

    /// What tells its views from others.
    pub fn view_identities(&self) -> Vec<ViewIdentity> {
        self.views.identities()
    }

    /// All users of a task who are in memory, in any order, as the encoders see one that nothing has touched.
    pub fn users(&self, task: i32) -> impl Iterator<Item = TouchedUser<'_>> {
        self.state.users_of(task).filter_map(|user| self.state.untouched(user))
    }

    /// All rows folded since the last call or release, and who was forgotten, in one order; empty where
    /// [`FoldConfig::keeps_order`] is not set.
    pub fn take_arrivals(&mut self) -> Vec<Arrival> {
        std::mem::take(&mut self.state.arrivals)
    }

    /// The slot of a user whose state is asked for; he comes back from the cold store. None where he is not known.
    ///
    /// # Errors
    /// Where the cold store fails.
    pub fn recall(&mut self, task: i32, user_id: &str) -> Result<Option<u32>, FoldError> {
        Ok(self.state.find(task, user_id)?)
    }

    /// The users touched since the last release, in the order of their first rows.
    pub fn touched(&self) -> impl Iterator<Item = TouchedUser<'_>> {
        self.state.touched()
    }

    /// The item of a row of an item window.
    pub fn item_id(&self, row_slot: u32) -> &str {
        self.state.store.text(row_slot, ITEM_ID)
    }

    /// The item of any row; none where it has none.
    pub fn item_of(&self, row_slot: u32) -> Option<&str> {
        self.state.store.is_valid(row_slot, ITEM_ID).then(|| self.item_id(row_slot))
    }

    /// The rows of a user's item window, oldest first.
    pub fn item_window(&self, user: u32) -> impl Iterator<Item = u32> {
        self.state.users[user as usize].items.iter().copied()
    }

    /// The newest `most` rows of a user's history, oldest first.
    pub fn newest(&self, user: u32, most: usize) -> impl DoubleEndedIterator<Item = u32> + ExactSizeIterator {
        let history = &self.state.users[user as usize].history;
        history.range(history.len().saturating_sub(most)..).copied()
    }

    /// The time of a row, ms.
    pub fn time(&self, row_slot: u32) -> i64 {
        self.state.store.time(row_slot)
    }

    /// The type of a row.
    pub fn kind(&self, row_slot: u32) -> &str {
        self.state.store.text(row_slot, TYPE)
    }

    /// Topic, partition and offset that a row came from.
    pub fn source(&self, row_slot: u32) -> (&str, i32, i64) {
        let place = self.state.store.place(row_slot);
        (self.state.store.topic_name(place.topic), place.partition, place.offset)
    }

    /// What was noted of a user last; empty where nothing was.
    pub fn note(&self, user: u32) -> &[u8] {
        &self.state.users[user as usize].note
    }

    /// Keeps `note` with a user, in place of the one before, as durable as his history. He was touched since the last
    /// release.
    pub fn set_note(&mut self, user: u32, note: &[u8]) {
        let user = &mut self.state.users[user as usize];
        assert!(user.touched > 0, "a note changes with its user");
        if user.note.len() == note.len() {
            user.note.copy_from_slice(note);
        } else {
            user.note = note.into();
        }
    }

    /// Ends the transaction: forgets who was touched, frees rows that nobody holds, and sends idle users to the cold
    /// store where state is beyond its limit.
    ///
    /// # Errors
    /// Where the cold store fails.
    pub fn release(&mut self) -> Result<(), FoldError> {
        self.state.release();
        Ok(self.state.evict()?)
    }

    /// Whether no transaction is open: nobody was touched since the last release.
    pub(crate) fn is_settled(&self) -> bool {
        self.state.pending.is_empty() && self.state.touched.is_empty()
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        self.state.counters
    }

    /// Bytes of state in memory, about.
    pub fn bytes(&self) -> usize {
        self.state.bytes()
    }

    /// Users in memory.
    pub fn resident_users(&self) -> usize {
        self.state.users.len() - self.state.free_users.len()
    }

    /// Row slots that exist and bytes of long texts, garbage included: what a bounded stream must not make grow.
    pub fn held(&self) -> (usize, usize) {
        (self.state.store.slots(), self.state.store.text_bytes())
    }
}

/// Emits the newest value of each latest-value view of `users`.
pub(crate) fn emit_newest(
    views: &Views,
    state: &mut State,
    users: &[u32],
    out: &mut dyn Emit,
) -> Result<(), FoldError> {
    for view in views.list.iter().filter(|view| view.window.is_latest_value()) {
        let users = users.iter().copied().filter(|&user| speaks(view, state, user)).collect::<Vec<_>>();
        if view.window == Window::Lifetime {
            lifetime::emit_now(view, state, &users, out).map_err(of(view))?;
            continue;
        }
        let mut capture = Capture::default();
        for user in users {
            capture.add(view, state, user);
            if capture.is_full() {
                std::mem::take(&mut capture).evaluate(view, state, out).map_err(of(view))?;
            }
        }
        capture.evaluate(view, state, out).map_err(of(view))?;
    }
    Ok(())
}

fn of(view: &View) -> impl Fn(DataFusionError) -> FoldError + '_ {
    |error| FoldError::View { view: view.name.clone(), error: Box::new(error) }
}

/// Whether a view's value of a user is to be computed: to be emitted, or to know what was.
fn speaks(view: &View, state: &State, user: u32) -> bool {
    view.is_tracked() || !state.is_muted(user)
}

/// Puts the pending rows into histories, in order; where every row has a value of its own, takes what it is made of.
fn remember(state: &mut State, histories: &[&View], out: &mut dyn Emit) -> Result<(), FoldError> {
    let mut captures: Vec<Capture> = histories.iter().map(|_| Capture::default()).collect();
    for row in 0..state.pending.len() {
        let Pending { slot, user, .. } = state.pending[row];
        state.remember(slot, user);
        state.pending[row].newest = state.users[user as usize].newest();
        if state.emit == EmitMode::Batch {
            continue;
        }
        for (view, capture) in histories.iter().zip(&mut captures) {
            if speaks(view, state, user) {
                capture.add(view, state, user);
            }
            if capture.is_full() {
                std::mem::take(capture).evaluate(view, state, out).map_err(of(view))?;
            }
        }
    }
    for (view, capture) in histories.iter().zip(captures) {
        capture.evaluate(view, state, out).map_err(of(view))?;
    }
    Ok(())
}

fn fold_view(
    view: &View,
    state: &mut State,
    arrived: &mut Arrived,
    reports: &mut Reports,
    out: &mut dyn Emit,
) -> datafusion::common::Result<()> {
    match view.window {
        Window::Fixed(_) => fixed::fold(view, state, arrived, reports),
        Window::Session { gap_ms } => session::fold(view, gap_ms, state, arrived, reports),
        Window::Lifetime if state.emit == EmitMode::Event => lifetime::fold_each(view, state, arrived, reports, out),
        Window::Lifetime => fixed::fold(view, state, arrived, reports),
        Window::Rolling { .. } | Window::Latest { .. } => Ok(()),
    }
}
