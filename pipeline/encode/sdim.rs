//! The room SDIM: keeps the tables of the users at hand, and publishes those of the users touched.

use std::collections::BTreeMap;

use operators::{Fold, TouchedUser};
use schemas::output::{Emit, Output, Record, Room};
use shaders::sdim::{BITS, Batch, Change, Sdim};

use super::Heard;
use super::catalogue::ItemsError;
use super::due::Due;
use super::items::Gathered;
use super::known::{ItemSource, Known, Reading};
use super::record::{self, Head, MODEL_VERSION};
use super::tables::{Held, Tables};

/// Users whose tables are computed at once.
const BATCH_USERS: usize = 1024;

/// What SDIM is set to.
#[derive(Clone, Copy, Debug)]
pub struct SdimConfig {
    /// The length of item vectors.
    pub dim: usize,
    /// Users whose tables are held.
    pub tables: usize,
    /// `encodings.min_interval_ms`.
    pub min_interval_ms: i64,
}

/// SDIM of one worker.
pub struct SdimRoom {
    config: SdimConfig,
    kernels: Sdim,
    known: Known,
    tables: Tables,
    due: Due,
    work: Work,
    value: Vec<u8>,
}

/// The users of one batch and what changes in their tables.
#[derive(Default)]
struct Work {
    users: Vec<u32>,
    slots: Vec<u32>,
    fresh: Vec<bool>,
    offsets: Vec<u32>,
    /// Row slots of the history, and whether they come or go.
    rows: Vec<(u32, bool)>,
    row_offsets: Vec<u32>,
    /// Rows of vectors, by change.
    items: Vec<u32>,
    gathered: Gathered,
    items_version: u64,
    changes: Vec<Change>,
    publish: Vec<u32>,
    published: Vec<u16>,
}

impl SdimRoom {
    /// A room with no tables yet; `hash` is the frozen matrix (48, dim), scale 2^-8.
    ///
    /// # Errors
    /// Where the device cannot hold the tables.
    pub fn new(
        config: SdimConfig,
        device: &shaders::Device,
        hash: &[i16],
        items: ItemSource,
    ) -> Result<Self, shaders::Error> {
        let kernels = shaders::sdim::Config::new(config.dim, config.tables);
        Ok(Self {
            config,
            kernels: Sdim::new(device, kernels, hash)?,
            known: Known::new(items, config.dim, Some(BITS)),
            tables: Tables::new(config.tables),
            due: Due::new(config.min_interval_ms),
            work: Work::default(),
            value: Vec::new(),
        })
    }

    /// Bytes of one record, about.
    pub fn record_bytes(&self) -> usize {
        record::table_bytes(self.config.dim) + 200
    }

    /// As [`super::Encoders::encode`].
    ///
    /// # Errors
    /// Where the device fails.
    pub fn encode(&mut self, fold: &Fold, heard: &dyn Fn(i32) -> Heard, out: &mut dyn Emit) -> Result<(), ItemsError> {
        let mut users: Vec<(TouchedUser<'_>, bool)> = Vec::new();
        let mut places = BTreeMap::new();
        for touched in fold.touched() {
            if heard(touched.task).muted {
                self.tables.drop_user(touched.user);
                self.due.defer(touched.task, touched.user, touched.time);
            } else {
                let publish = self.due.touch(touched.task, touched.user, touched.time);
                places.insert(touched.user, users.len());
                users.push((touched, publish));
            }
        }
        for task in self.due.tasks() {
            let Heard { watermark, muted } = heard(task);
            let waited = self.due.take(task, watermark);
            let waited = waited.into_iter().filter(|_| !muted);
            for user in waited {
                // One may have waited twice: since he was restored, and since he was touched.
                if let Some(&place) = places.get(&user) {
                    users[place].1 = true;
                } else if let Some(untouched) = fold.user(user) {
                    places.insert(user, users.len());
                    users.push((untouched, true));
                }
            }
        }
        let mut versions: Vec<u64> = users.iter().map(|(user, _)| self.known.version(user.task)).collect();
        versions.sort_unstable();
        versions.dedup();
        // Vectors of two versions never meet, not even in a batch.
        for version in versions {
            let of = users.iter().filter(|(user, _)| self.known.version(user.task) == version);
            let of: Vec<_> = of.copied().collect();
            for batch in of.chunks(BATCH_USERS.min(self.tables.slots())) {
                match self.batch(fold, batch, out) {
                    Err(error) if error.is_device_lost() => {
                        tracing::warn!("{error}: it is opened again, the tables are built anew");
                        self.kernels.renew()?;
                        self.tables.clear();
                        self.batch(fold, batch, out)?;
                    }
                    done => done?,
                }
            }
        }
        Ok(())
    }

    /// Users, some at least, of tasks that are all in one version.
    fn batch(&mut self, fold: &Fold, users: &[(TouchedUser<'_>, bool)], out: &mut dyn Emit) -> Result<(), ItemsError> {
        self.plan(fold, users);
        let ids = self.work.rows.iter().map(|&(row, _)| fold.item_id(row));
        self.known.prepare(ids, self.config.dim, &mut self.kernels)?;
        let items = self.known.read(users[0].0.task);
        let work = &mut self.work;
        work.resolve(fold, &mut self.tables, &items);
        work.items_version = items.version();
        items.gather(&work.items, &mut work.gathered)?;
        drop(items);
        let vectors: Vec<&[i16]> = work.gathered.vectors().collect();
        let batch = Batch {
            slots: &work.slots,
            fresh: &work.fresh,
            offsets: &work.offsets,
            changes: &work.changes,
            vectors: &vectors,
            signatures: work.gathered.signatures(),
            publish: &work.publish,
        };
        work.published.clear();
        self.kernels.encode(&batch, &mut work.published)?;
        self.publish(fold, users, out);
        Ok(())
    }

    /// What comes into each user's table and what goes: the changes of his window, or all of it where he has no table.
    fn plan(&mut self, fold: &Fold, users: &[(TouchedUser<'_>, bool)]) {
        let work = &mut self.work;
        work.clear();
        self.tables.begin_batch();
        for (index, (touched, publish)) in users.iter().enumerate() {
            let (held, fresh) = self.tables.hold(touched.user);
            work.users.push(touched.user);
            work.slots.push(held.slot);
            work.fresh.push(fresh);
            if fresh {
                work.rows.extend(fold.item_window(touched.user).map(|row| (row, true)));
            } else {
                work.rows.extend(touched.added.iter().map(|&row| (row, true)));
                work.rows.extend(touched.evicted.iter().map(|&row| (row, false)));
                work.rows.extend(held.pending.iter().map(|&row| (row, true)));
            }
            work.row_offsets.push(work.rows.len() as u32);
            if *publish {
                work.publish.push(index as u32);
            }
        }
    }

    fn publish(&mut self, fold: &Fold, users: &[(TouchedUser<'_>, bool)], out: &mut dyn Emit) {
        let table = record_table_len(self.config.dim);
        for (&index, table) in self.work.publish.iter().zip(self.work.published.chunks_exact(table)) {
            let (touched, _) = &users[index as usize];
            self.due.publish(touched.task, touched.user, touched.time);
            let head = Head {
                user_id: touched.user_id,
                time: touched.time,
                events: fold.item_window(touched.user).count(),
                model_version: MODEL_VERSION,
                items_version: self.work.items_version,
                source: touched.source,
            };
            record::write(&head, table, &mut self.value);
            let record = Record {
                output: Output::Encoding(Room::Sdim),
                partition: touched.task,
                key: Some(touched.user_id.as_bytes()),
                value: Some(&self.value),
                headers: &[],
            };
            out.emit(touched.task, record);
        }
    }

    /// A task is in a version of items from now on: tables of its users, who are in `fold`, are built anew.
    ///
    /// # Errors
    /// Where the version cannot be had.
    pub fn adopt(&mut self, fold: &Fold, task: i32, version: u64) -> Result<(), ItemsError> {
        fold.users(task).for_each(|user| self.tables.drop_user(user.user));
        self.known.adopt(task, version)
    }

    /// As [`super::Encoders::restored`]: who may still have waited to be published waits again.
    pub fn restored(&mut self, fold: &Fold, task: i32, watermark: i64) {
        let interval_ms = self.config.min_interval_ms;
        if interval_ms == 0 {
            return;
        }
        for user in fold.users(task).filter(|user| user.time.saturating_add(interval_ms) > watermark) {
            self.due.defer(task, user.user, user.time);
        }
    }

    /// As [`super::Encoders::forget_user`].
    pub fn forget_user(&mut self, task: i32, slot: u32) {
        self.tables.drop_user(slot);
        self.due.forget_user(task, slot);
    }

    /// As [`super::Encoders::forget`].
    pub fn forget(&mut self, task: i32) {
        self.tables.clear();
        self.due.forget(task);
        self.known.forget(task);
    }
}

fn record_table_len(dim: usize) -> usize {
    shaders::sdim::GROUPS * shaders::sdim::BUCKETS * dim
}

impl Work {
    fn clear(&mut self) {
        self.users.clear();
        self.slots.clear();
        self.fresh.clear();
        self.offsets.clear();
        self.rows.clear();
        self.row_offsets.clear();
        self.items.clear();
        self.changes.clear();
        self.publish.clear();
        self.offsets.push(0);
        self.row_offsets.push(0);
    }

    /// Turns rows into changes of tables. A row whose item is unknown waits; one that goes while it waits was never in.
    fn resolve(&mut self, fold: &Fold, tables: &mut Tables, items: &Reading<'_>) {
        let known = items.vectors();
        for (index, &user) in self.users.iter().enumerate() {
            let (held, _) = tables.hold(user);
            let rows = self.row_offsets[index] as usize..self.row_offsets[index + 1] as usize;
            // The rows that waited stand at the end of the list: those that are still unknown wait again.
            let waited = if self.fresh[index] { 0 } else { held.pending.len() };
            let split = rows.end - waited;
            for &(row, added) in &self.rows[rows.start..split] {
                let waits = !added && remove(held, row);
                match items.find(fold.item_id(row)).row {
                    _ if waits => {}
                    Some(item) => change(&mut self.items, &mut self.changes, item, added),
                    None => held.pending.push_back(row),
                }
            }
            if held.known != known {
                for &(row, _) in &self.rows[split..rows.end] {
                    let item = items.find(fold.item_id(row)).row;
                    if let Some(item) = item.filter(|_| remove(held, row)) {
                        change(&mut self.items, &mut self.changes, item, true);
                    }
                }
                held.known = known;
            }
            self.offsets.push(self.changes.len() as u32);
        }
    }
}

fn change(items: &mut Vec<u32>, changes: &mut Vec<Change>, item: u32, added: bool) {
    changes.push(Change { item: items.len() as u32, sign: if added { 1 } else { -1 } });
    items.push(item);
}

/// Takes `row` from those that wait; whether it was there.
fn remove(held: &mut Held, row: u32) -> bool {
    match held.pending.iter().position(|&waiting| waiting == row) {
        Some(at) => held.pending.remove(at).is_some(),
        None => false,
    }
}
