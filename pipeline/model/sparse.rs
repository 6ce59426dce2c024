//! Versions published sparsely: chunks that stand on the topic already are not sent again.
//!
//! ```text
//! version 1: table/0 table/1 table/2 … manifest      a manifest means the newest record of each key before it,
//! version 2:         table/1           manifest      and its checksums tell whether a reader has found those
//! ```
//! An embedding table of which few rows changed costs the chunks that hold them. Compaction keeps the newest record of each
//! key, so a reader that starts later finds every chunk; one that finds an older chunk than is meant, or a newer one, because
//! compaction has passed between, takes the next version that is whole.

use std::collections::HashMap;
use std::convert::Infallible;

use xxhash_rust::xxh3::xxh3_128;

use super::Model;

/// What stands on a topic of what one producer published there, as nobody else publishes these models meanwhile.
#[derive(Debug, Default)]
pub struct Standing {
    /// By key, xxh3 of the newest value that is committed, and of those that may become so: 24 bytes and the key for 64 KiB.
    committed: HashMap<Vec<u8>, u128>,
    staged: HashMap<Vec<u8>, u128>,
}

impl Standing {
    /// Gives those records of a version to `each` that do not stand on the topic, the manifest last. They count as standing
    /// there after [`Standing::committed`]; where that is not called before the next version, they never came there.
    pub fn stage(&mut self, model: &Model, mut each: impl FnMut(&[u8], &[u8])) {
        let Self { committed, staged } = self;
        staged.clear();
        let all = model.records(|key, value| {
            let mark = xxh3_128(value);
            if committed.get(key) != Some(&mark) {
                staged.insert(key.to_vec(), mark);
                each(key, value);
            }
            Ok::<_, Infallible>(())
        });
        let Ok(()) = all;
    }

    /// What was staged last is committed.
    pub fn committed(&mut self) {
        self.committed.extend(self.staged.drain());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use shaders::ops::tensors::Entry;

    use super::super::{CHUNK_BYTES, Chunks};
    use super::*;

    const CHUNK_FLOATS: usize = CHUNK_BYTES / 4;

    fn model(version: u64, values: &[f32]) -> Model {
        let tensors = [("t".to_string(), Entry::floats(vec![values.len()], values))].into();
        Model { name: "m".into(), version, about: Value::Null, tensors }
    }

    /// What is sent of a version, by key; a topic that keeps the newest of each takes it where it is committed.
    fn publish(standing: &mut Standing, model: &Model, topic: Option<&mut Chunks>) -> Vec<String> {
        let mut sent = Vec::new();
        standing.stage(model, |key, value| sent.push((key.to_vec(), value.to_vec())));
        if let Some(topic) = topic {
            standing.committed();
            sent.iter().for_each(|(key, value)| _ = topic.put(key, value));
        }
        sent.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect()
    }

    #[test]
    fn only_what_changed_is_sent_and_the_topic_holds_all() {
        let (mut standing, mut topic) = (Standing::default(), Chunks::of("m"));
        let mut values = vec![0.0; 2 * CHUNK_FLOATS + 5];
        let first = model(1, &values);
        assert_eq!(publish(&mut standing, &first, Some(&mut topic)), ["m/t/0", "m/t/1", "m/t/2", "m"]);
        assert_eq!(topic.assemble().unwrap(), first);
        values[CHUNK_FLOATS] = 1.0;
        assert_eq!(publish(&mut standing, &model(2, &values), Some(&mut topic)), ["m/t/1", "m"]);
        assert_eq!(topic.assemble().unwrap(), model(2, &values));
        // It grows: the chunk that was cut short, and a new one; it shrinks, and what is behind its end stays where it is.
        values.resize(3 * CHUNK_FLOATS + 1, 2.0);
        assert_eq!(publish(&mut standing, &model(3, &values), Some(&mut topic)), ["m/t/2", "m/t/3", "m"]);
        let shorter = model(4, &values[..3 * CHUNK_FLOATS]);
        assert_eq!(publish(&mut standing, &shorter, Some(&mut topic)), ["m"]);
        assert_eq!(topic.assemble().unwrap(), shorter);
        assert_eq!(publish(&mut standing, &model(5, &values), Some(&mut topic)), ["m"]);
        assert_eq!(topic.assemble().unwrap(), model(5, &values));
        assert_eq!(publish(&mut Standing::default(), &model(6, &values), Some(&mut topic)).len(), 5, "who begins anew");
    }

    #[test]
    fn what_was_never_committed_does_not_stand_there() {
        let (mut standing, mut topic) = (Standing::default(), Chunks::of("m"));
        let values = |x: f32| vec![x; CHUNK_FLOATS];
        publish(&mut standing, &model(1, &values(1.0)), Some(&mut topic));
        assert_eq!(publish(&mut standing, &model(2, &values(2.0)), None), ["m/t/0", "m"]);
        assert_eq!(publish(&mut standing, &model(2, &values(2.0)), None), ["m/t/0", "m"], "it was aborted");
        // What stands there is still the first: it need not be sent.
        assert_eq!(publish(&mut standing, &model(2, &values(1.0)), Some(&mut topic)), ["m"]);
        assert_eq!(topic.assemble().unwrap(), model(2, &values(1.0)));
    }
}
