//! Input records as a log: users, items, categories and actions become numbers.

use std::collections::HashMap;

use schemas::event::EventColumns;

use super::RankingError;
use super::log::{Behavior, Items, Labelled, Log, Mark};
use crate::decode::{Candidates, decode_candidates, decode_event, decode_feedback, decode_item};
use crate::route::rows::halves;
use crate::source::SourceError;
use crate::source::input::{Input, InputTopic};
use crate::source::merge::Merge;

/// Why no log is read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A source cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The log cannot be evaluated.
    #[error(transparent)]
    Log(#[from] RankingError),
}

/// What was read.
#[derive(Debug)]
pub struct Read {
    /// The log.
    pub log: Log,
    /// How many records were none.
    pub dead: u64,
}

/// Reads all inputs. An event of two users is one of each; events without an item are passed over, and so are items of another
/// version than `items_version`.
///
/// # Errors
/// Where a source cannot be read, or there is nothing to be ranked.
pub fn read(inputs: &[Input], columns: &EventColumns, items_version: u64) -> Result<Read, InputError> {
    let mut merge = Merge::open(inputs)?;
    let mut reader = Reader::default();
    while let Some(record) = merge.next()? {
        let good = match record.topic {
            InputTopic::Events => reader.event(record.value, columns),
            InputTopic::Items => reader.item(record.value, items_version),
            InputTopic::Candidates => reader.candidates(record.value),
            InputTopic::Feedback => reader.feedback(record.value),
            InputTopic::Forget => true,
        };
        reader.dead += u64::from(!good);
    }
    Ok(reader.finish()?)
}

/// Numbers in the order of first sight.
#[derive(Default)]
struct Names(HashMap<Box<str>, u32>);

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.0.get(name) {
            return number;
        }
        let next = u32::try_from(self.0.len()).expect("fewer names than bytes of memory");
        self.0.insert(name.into(), next);
        next
    }
}

#[derive(Default)]
struct Reader {
    users: Names,
    item_names: Names,
    /// From 1: 0 is unknown.
    categories: Names,
    actions: Names,
    items: Items,
    behaviors: Vec<(u32, Behavior)>,
    requests: Vec<Labelled>,
    /// By user and request id.
    by_id: HashMap<(u32, Box<str>), u32>,
    feedback: Vec<Feedback>,
    feature_names: Vec<String>,
    dead: u64,
}

/// Feedback whose request may still have to come.
struct Feedback {
    user: u32,
    time_ms: i64,
    request: Option<Box<str>>,
    item: Option<u32>,
    label: bool,
}

impl Reader {
    fn item_number(&mut self, name: &str) -> u32 {
        let number = self.item_names.number(name);
        if number as usize == self.items.names.len() {
            self.items.names.push(name.into());
            self.items.categories.push(0);
            self.items.vectors.resize(self.items.names.len() * self.items.dim, 0.0);
        }
        number
    }

    fn category(&mut self, item: u32, name: &str) {
        self.items.categories[item as usize] = self.categories.number(name) + 1;
    }

    fn event(&mut self, value: &[u8], columns: &EventColumns) -> bool {
        let Ok(event) = decode_event(value, columns) else { return false };
        let Some(id) = &event.item_id else { return true };
        let (item, action) = (self.item_number(id), self.actions.number(&event.kind) + 1);
        if let Some(category) = event.category.as_deref().filter(|_| self.items.categories[item as usize] == 0) {
            self.category(item, category);
        }
        let (first, second) = halves(&event);
        for half in [Some(first), second].into_iter().flatten() {
            let user = self.users.number(half.user_id);
            self.behaviors.push((user, Behavior { time_ms: event.time, item, action }));
        }
        true
    }

    /// The newest record of an item counts, its vector where the length is that of the first.
    fn item(&mut self, value: &[u8], version: u64) -> bool {
        let dim = Some(self.items.dim).filter(|dim| *dim > 0);
        let Ok(record) = decode_item(value, dim) else { return false };
        if record.version != version {
            return true;
        }
        let item = self.item_number(&record.item_id);
        if let Some(category) = &record.category {
            self.category(item, category);
        }
        if let Some(vector) = record.vector {
            if self.items.dim == 0 {
                self.items.dim = vector.len();
                self.items.vectors = vec![0.0; self.items.names.len() * vector.len()];
            }
            self.items.vectors[item as usize * vector.len()..][..vector.len()].copy_from_slice(&vector);
        }
        true
    }

    fn candidates(&mut self, value: &[u8]) -> bool {
        let Ok(record) = decode_candidates(value) else { return false };
        let Candidates { request_id, user_id, time, item_ids, features } = record;
        let user = self.users.number(&user_id);
        let number = self.requests.len() as u32;
        // A request that comes twice was asked once.
        if *self.by_id.entry((user, request_id.into())).or_insert(number) != number {
            return false;
        }
        let items: Vec<u32> = item_ids.iter().map(|id| self.item_number(id)).collect();
        let labels = vec![false; items.len()];
        let mut own = vec![Vec::new(); self.feature_names.len()];
        for (name, numbers) in features {
            let at = self.feature_names.iter().position(|known| *known == name).unwrap_or_else(|| {
                self.feature_names.push(name.into());
                own.push(Vec::new());
                self.feature_names.len() - 1
            });
            own[at] = numbers;
        }
        self.requests.push(Labelled { user, time_ms: time, items, labels, features: own });
        true
    }

    fn feedback(&mut self, value: &[u8]) -> bool {
        let Ok(record) = decode_feedback(value) else { return false };
        let user = self.users.number(&record.user_id);
        let item = record.item_id.map(|id| self.item_number(&id));
        let request = record.request_id.map(Into::into);
        self.feedback.push(Feedback { user, time_ms: record.time, request, item, label: record.label });
        true
    }

    fn finish(mut self) -> Result<Read, RankingError> {
        let marks = label(&mut self.requests, &self.by_id, &self.feedback);
        let actions = self.actions.0.len();
        let log = Log::new(self.items, actions, self.feature_names, self.behaviors, self.requests, marks)?;
        Ok(Read { log, dead: self.dead })
    }
}

/// Gives candidates their labels, and tells what was clicked, and what was shown outside of requests.
///
/// A click of a request's item is one whatever else was said of it. Where an item stands in a request more than once,
/// the first feedback is of the first place, the second of the second, and so on around.
fn label(requests: &mut [Labelled], by_id: &HashMap<(u32, Box<str>), u32>, feedback: &[Feedback]) -> Vec<Mark> {
    let mut marks = Vec::new();
    let mut told: HashMap<(u32, u32), usize> = HashMap::new();
    for Feedback { user, time_ms, request, item, label } in feedback {
        let number = request.as_ref().and_then(|id| by_id.get(&(*user, id.clone())));
        let mark = |item, clicked| Mark { time_ms: *time_ms, user: *user, item, clicked };
        let Some(&number) = number else {
            marks.extend(item.map(|item| mark(item, false)));
            marks.extend(item.filter(|_| *label).map(|item| mark(item, true)));
            continue;
        };
        let request = &mut requests[number as usize];
        let places: Vec<usize> = match item {
            None => (0..request.items.len()).collect(),
            Some(item) => {
                let places: Vec<usize> =
                    (0..request.items.len()).filter(|place| request.items[*place] == *item).collect();
                let next = told.entry((number, *item)).or_default();
                *next += 1;
                places.get((*next - 1) % places.len().max(1)).copied().into_iter().collect()
            }
        };
        for place in places {
            if *label && !std::mem::replace(&mut request.labels[place], true) {
                marks.push(mark(request.items[place], true));
            }
        }
    }
    marks
}
