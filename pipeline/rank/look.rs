//! Looking: from a request, the user's history and the live counters to what is kept of them.

use hashbrown::HashMap;
use operators::Fold;
use operators::rates::{Candidate, FORMS, INPUTS, feature_forms};
use schemas::request::Candidates;
use shaders::Device;
use shaders::muse::{CHUNK_EVENTS, Found, Gsu, narrow, products};
use shaders::sdim::{Sdim, Window};

use super::blocks::Blocks;
use super::sight::{NEWEST, Sight};
use super::tally::{Tally, key};
use crate::encode::ItemsError;
use crate::encode::items::{Gathered, Item};
use crate::encode::known::{ItemSource, Known};

/// The place of `item_rate` among [`INPUTS`].
pub const ITEM_RATE: usize = {
    let mut at = 0;
    while !matches!(INPUTS[at].as_bytes(), b"item_rate") {
        at += 1;
    }
    at
};

/// What is looked at.
#[derive(Clone, Debug)]
pub struct LookConfig {
    /// Names of the features that requests may bring, in order.
    pub features: Vec<String>,
    /// Length of item vectors.
    pub dim: usize,
    /// The newest behaviors of a user that are looked at.
    pub window: usize,
    /// Bits of SDIM's hash, and of a group of it; none where SDIM is closed.
    pub hash: Option<(usize, usize)>,
    /// Behaviors that MUSE finds; none where MUSE is closed.
    pub found: Option<usize>,
    /// Bytes of users' content blocks that MUSE's search keeps.
    pub blocks_bytes: usize,
}

impl LookConfig {
    /// Names of the inputs of a candidate, in order.
    pub fn inputs(&self) -> Vec<String> {
        let forms = ["", "_centered", "_rank", "_inverse"];
        let features = self.features.iter().flat_map(|name| forms.map(|form| format!("{name}{form}")));
        INPUTS.iter().map(ToString::to_string).chain(features).collect()
    }
}

/// The eyes of one worker.
pub struct Eyes {
    config: LookConfig,
    known: Known,
    kernels: Sdim,
    gsu: Gsu,
    blocks: Blocks,
    /// Rows of the vectors that a request looks at, and the vectors.
    rows: Vec<u32>,
    gathered: Gathered,
    content: Content,
    found: Found,
}

/// A behavior with an item, the newest first.
struct Behavior<'a> {
    /// Its row of the history.
    row: u32,
    item_id: &'a str,
    /// The place of its vector among those that are looked at.
    item: Option<u32>,
}

/// The vectors that a request looks at, as int8.
#[derive(Default)]
struct Content {
    /// (items, dim)
    vectors: Vec<i8>,
    /// (dim) Of an item without a vector.
    nothing: Vec<i8>,
}

impl Content {
    fn take(&mut self, items: &Gathered, dim: usize) {
        self.vectors.clear();
        narrow(items.all(), &mut self.vectors);
        self.nothing.resize(dim, 0);
    }

    /// The vector of an item; zero where it has none.
    fn of(&self, item: Option<u32>) -> &[i8] {
        let dim = self.nothing.len();
        item.map_or(&self.nothing, |item| &self.vectors[item as usize * dim..][..dim])
    }
}

impl Eyes {
    /// Eyes that have seen nothing.
    ///
    /// # Errors
    /// Where the hash's form does not fit, or the device fails.
    pub fn new(config: LookConfig, device: &Device, items: ItemSource) -> Result<Self, shaders::Error> {
        let (bits, group_bits) = config.hash.unwrap_or((shaders::sdim::BITS, shaders::sdim::GROUP_BITS));
        let form = shaders::sdim::Config { dim: config.dim, slots: 1, bits, group_bits };
        let hash = shaders::sdim::hash_matrix_of(bits, config.dim);
        Ok(Self {
            known: Known::new(items, config.dim, config.hash.map(|(bits, _)| bits)),
            kernels: Sdim::new(device, form, &hash)?,
            gsu: Gsu::new(device, shaders::muse::Config { dim: config.dim, chunks: chunks(&config) })?,
            blocks: Blocks::new(config.dim, config.blocks_bytes),
            rows: Vec::new(),
            gathered: Gathered::default(),
            content: Content::default(),
            found: Found::default(),
            config,
        })
    }

    /// A task is in a version of items from now on.
    ///
    /// # Errors
    /// Where the version cannot be had.
    pub fn adopt(&mut self, task: i32, version: u64) -> Result<(), ItemsError> {
        self.blocks.forget(task);
        self.known.adopt(task, version)
    }

    /// The task is another worker's.
    pub fn forget(&mut self, task: i32) {
        self.blocks.forget(task);
        self.known.forget(task);
    }

    /// Nothing is kept of the user in `slot`.
    pub fn forget_user(&mut self, task: i32, slot: u32) {
        self.blocks.forget_user((task, Some(slot)));
    }

    /// What a request of a task sees of a user in `slot`, where he is known. A lost device is opened again.
    ///
    /// # Errors
    /// Where the device fails, or vectors cannot be read.
    pub fn look(
        &mut self,
        fold: &Fold,
        (task, slot): (i32, Option<u32>),
        tally: &Tally,
        asked: &Candidates,
    ) -> Result<Sight, ItemsError> {
        match self.look_once(fold, (task, slot), tally, asked) {
            Err(error) if error.is_device_lost() => {
                tracing::warn!("{error}: it is opened again");
                self.kernels.renew()?;
                self.gsu.renew()?;
                // It may have been lost between new rows of hashed items and the word that they are new.
                self.blocks.clear();
                self.look_once(fold, (task, slot), tally, asked)
            }
            seen => seen,
        }
    }

    fn look_once(
        &mut self,
        fold: &Fold,
        (task, slot): (i32, Option<u32>),
        tally: &Tally,
        asked: &Candidates,
    ) -> Result<Sight, ItemsError> {
        let newest = slot.into_iter().flat_map(|slot| fold.newest(slot, usize::MAX).rev());
        let behaviors = newest.filter_map(|row| Some(Behavior { row, item_id: fold.item_of(row)?, item: None }));
        let mut behaviors: Vec<Behavior<'_>> = behaviors.take(self.config.window).collect();
        let ids = asked.item_ids.iter().map(String::as_str);
        let all = behaviors.iter().map(|behavior| behavior.item_id).chain(ids.clone());
        if self.known.prepare(all, self.config.dim, &mut self.kernels)? {
            self.blocks.clear();
        }
        let known = self.known.read(task);
        self.rows.clear();
        behaviors
            .iter_mut()
            .for_each(|behavior| behavior.item = place(&mut self.rows, known.find(behavior.item_id).row));
        let described: Vec<Item<'_>> = ids.map(|id| known.find(id)).collect();
        let candidates: Vec<Option<u32>> = described.iter().map(|item| place(&mut self.rows, item.row)).collect();
        let categories = described.iter().map(|item| item.category.to_owned()).collect();
        known.gather(&self.rows, &mut self.gathered)?;
        drop(known);
        self.content.take(&self.gathered, self.config.dim);
        let (items, content) = (&self.gathered, &self.content);
        let (dim, width) = (self.config.dim, INPUTS.len() + FORMS * self.config.features.len());
        let mut sight = Sight {
            dim: dim as u32,
            width: width as u32,
            item_ids: asked.item_ids.clone(),
            categories,
            ..Sight::default()
        };
        candidates.iter().for_each(|item| sight.candidate_keys.extend_from_slice(content.of(*item)));
        let mut others = Others { fold, content, all: &behaviors, places: HashMap::new(), types: HashMap::new() };
        for age in 0..behaviors.len().min(NEWEST) {
            others.place(age as u32, &mut sight);
        }
        if self.config.hash.is_some() {
            read(&mut self.kernels, items, (&behaviors, &candidates), &mut sight)?;
        }
        if let Some(count) = self.config.found {
            let place = |at: usize| behaviors[behaviors.len() - 1 - at].item;
            let rows: Vec<_> = (0..behaviors.len()).map(|at| place(at).map(|item| self.rows[item as usize])).collect();
            let block = self.blocks.of((task, slot), &rows, |at| content.of(place(at)))?;
            self.gsu.search(block, &sight.candidate_keys, count, &mut self.found)?;
            self.gsu.tiers(block, &sight.candidate_keys, &self.found, &mut sight.tiers)?;
            sight.found_offsets.clone_from(&self.found.offsets);
            sight.found_similarities.clone_from(&self.found.similarities);
            for &age in &self.found.ages {
                let place = others.place(age, &mut sight);
                sight.found_behaviors.push(place);
            }
        }
        inputs(&self.config.features, &behaviors, tally, asked, &mut sight);
        Ok(sight)
    }
}

/// The place that a row gets among those that are looked at.
fn place(rows: &mut Vec<u32>, row: Option<u32>) -> Option<u32> {
    rows.push(row?);
    Some(rows.len() as u32 - 1)
}

fn read(
    kernels: &mut Sdim,
    items: &Gathered,
    (behaviors, candidates): (&[Behavior<'_>], &[Option<u32>]),
    sight: &mut Sight,
) -> Result<(), shaders::Error> {
    let dim = sight.dim as usize;
    let known = || behaviors.iter().filter_map(|behavior| behavior.item);
    let vectors: Vec<&[i16]> = known().map(|item| items.vector(item)).collect();
    let of_window: Vec<u64> = known().flat_map(|item| items.signature(item).iter().copied()).collect();
    let window = Window { vectors: &vectors, signatures: &of_window };
    let asked: Vec<u64> = candidates.iter().flatten().flat_map(|&item| items.signature(item).iter().copied()).collect();
    let mut reads = Vec::new();
    kernels.read_window(&window, &asked, &mut reads)?;
    let mut reads = reads.chunks_exact(dim);
    for item in candidates {
        match item {
            Some(_) => sight.reads.extend_from_slice(reads.next().expect("each was read")),
            None => sight.reads.resize(sight.reads.len() + dim, 0.0),
        }
    }
    Ok(())
}

/// Chunks of content blocks that a GPU keeps: as many as the same bytes hold.
fn chunks(config: &LookConfig) -> usize {
    let bytes = CHUNK_EVENTS * (config.dim.next_multiple_of(4) + 4);
    if config.found.is_some() { (config.blocks_bytes / bytes).max(1) } else { 1 }
}

/// The behaviors of a sight: who of all stands in it already, by age, and the names of types.
struct Others<'a> {
    fold: &'a Fold,
    content: &'a Content,
    all: &'a [Behavior<'a>],
    places: HashMap<u32, u32>,
    types: HashMap<&'a str, u16>,
}

impl Others<'_> {
    /// The place of the behavior of an age, which is appended where it is not there.
    fn place(&mut self, age: u32, sight: &mut Sight) -> u32 {
        if let Some(place) = self.places.get(&age) {
            return *place;
        }
        let (place, behavior) = (sight.behavior_ages.len() as u32, &self.all[age as usize]);
        let kind = self.fold.kind(behavior.row);
        let at = *self.types.entry(kind).or_insert_with(|| {
            sight.types.push(kind.to_owned());
            sight.types.len() as u16 - 1
        });
        sight.behavior_types.push(at);
        sight.behavior_ages.push(age);
        sight.behavior_keys.extend_from_slice(self.content.of(behavior.item));
        self.places.insert(age, place);
        place
    }
}

/// Live counters and the request's features.
fn inputs(features: &[String], behaviors: &[Behavior<'_>], tally: &Tally, asked: &Candidates, sight: &mut Sight) {
    let (dim, width) = (sight.dim as usize, sight.width as usize);
    let mut last_seen: HashMap<&str, u32> = HashMap::new();
    for (age, behavior) in (0..).zip(behaviors) {
        last_seen.entry(behavior.item_id).or_insert(age);
    }
    let user = tally.user(key(&asked.user_id));
    let recent = sight.behavior_keys.chunks_exact(dim).take(behaviors.len().min(NEWEST));
    let recent = recent.filter(|key| key.iter().any(|&x| x != 0)).collect::<Vec<_>>().concat();
    for (item_id, own) in asked.item_ids.iter().zip(sight.candidate_keys.chunks_exact(dim)) {
        let [cosine_max, cosine_mean] = cosines(own, &recent);
        let last_seen = last_seen.get(item_id.as_str()).copied();
        let candidate = Candidate { item: key(item_id), last_seen, cosine_max, cosine_mean };
        tally.rates.inputs(&user, &candidate, &mut sight.inputs);
        sight.inputs.resize(sight.inputs.len() + FORMS * features.len(), 0.0);
    }
    for (at, name) in features.iter().enumerate() {
        let Some(numbers) = asked.features.get(name) else { continue };
        let numbers: Vec<f32> = numbers.iter().map(|number| number.unwrap_or(0.0)).collect();
        feature_forms(&numbers, INPUTS.len() + FORMS * at, width, &mut sight.inputs);
    }
}

/// The largest and the mean cosine with the newest behaviors that have vectors; zeros where there are none.
fn cosines(own: &[i8], recent: &[i8]) -> [f32; 2] {
    let Some((most, sum)) = products(own, recent) else { return [0.0; 2] };
    let scale = 1.0 / (127.0 * 127.0);
    [most as f32 * scale, sum as f32 * scale / (recent.len() / own.len()) as f32]
}
