//! Hostile bytes: whatever reads what others wrote gives a value or an error, never a panic, and not without bound.
//!
//! Inputs are mutations of a corpus: bits, cuts, splices, numbers at their edges. `WELLSPRING_FUZZ_S=600` runs each target so
//! long; what breaks one is printed, and belongs into `corpus/`.
//!
//! # Layout
//! - `corpus/<target>-*`: where mutations begin, and what once broke a target. [`mutate`]: how.

mod mutate;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use operators::{EmitMode, Fold, FoldConfig, Views};
use pipeline::config::Config;
use pipeline::decode::{decode_event, decode_forget, decode_item};
use pipeline::engine::minimum::Minimum;
use pipeline::snapshot::archive::Archive;
use pipeline::snapshot::manifest::{FORMAT, Manifest, Owner, Part, checksum};
use pipeline::snapshot::objects::{Objects, StoreError};
use pipeline::snapshot::part::PartWriter;
use schemas::event::{ColumnType, EventColumns};
use schemas::output::{Emit, Record};
use schemas::packed;

use self::mutate::Mutations;

/// How long each target runs where nothing else is said.
const SHORT: Duration = Duration::from_secs(3);

fn time() -> Duration {
    let asked = std::env::var("WELLSPRING_FUZZ_S").ok();
    asked.map_or(SHORT, |text| Duration::from_secs(text.parse().expect("WELLSPRING_FUZZ_S is a number of seconds")))
}

/// The files of a target.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut own: Vec<_> =
        files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&format!("{target}-"))).collect();
    own.sort();
    own.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
}

thread_local! {
    /// Whether this thread expects panics that are caught.
    static EXPECTS_PANICS: Cell<bool> = const { Cell::new(false) };
}

/// Panics of readers that are caught are not told one by one.
fn quiet() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !EXPECTS_PANICS.get() {
                before(panic);
            }
        }));
    });
    EXPECTS_PANICS.set(true);
}

/// Gives `eat` the corpus and its mutations until time is over.
fn fuzz(target: &str, seeds: Vec<Vec<u8>>, eat: impl Fn(&[u8])) {
    quiet();
    let (started, limit) = (Instant::now(), time());
    let mut count = 0_u64;
    let taste = |bytes: &[u8]| {
        if catch_unwind(AssertUnwindSafe(|| eat(bytes))).is_err() {
            EXPECTS_PANICS.set(false);
            let text = String::from_utf8_lossy(bytes);
            panic!("{target} broke on {} bytes: {:?}\nas text: {text}", bytes.len(), &bytes[..bytes.len().min(2000)]);
        }
    };
    seeds.iter().for_each(|seed| taste(seed));
    let mut mutations = Mutations::new(seeds);
    while started.elapsed() < limit {
        for _ in 0..64 {
            taste(mutations.next());
            count += 1;
        }
    }
    println!("{target}: {count} inputs");
    assert!(count > 500, "{target}: only {count} inputs in {limit:?}");
}

fn columns() -> EventColumns {
    EventColumns::new(vec![("band".into(), ColumnType::Int64), ("ok".into(), ColumnType::Boolean)]).unwrap()
}

#[test]
fn decode() {
    let columns = columns();
    fuzz("decode", corpus("decode"), |bytes| {
        if let Ok(event) = decode_event(bytes, &columns) {
            assert!((0..7_258_118_400_000).contains(&event.time), "a time that should be refused: {}", event.time);
        }
        drop(decode_item(bytes, Some(2)));
        drop(decode_forget(bytes));
    });
}

struct Nobody;

impl Emit for Nobody {
    fn emit(&mut self, _: i32, _: Record<'_>) {}
}

const VIEWS: &str = "CREATE VIEW v AS SELECT user_id, count(*) AS n, sum(value) AS s, max(type) AS t FROM events
    GROUP BY user_id, tumble(INTERVAL '1 minute');
    CREATE VIEW l AS SELECT user_id, count(DISTINCT item_id) AS n FROM events WHERE value > 0 GROUP BY user_id, latest(3);";

fn fold() -> Fold {
    let columns = EventColumns::default();
    let views = Arc::new(Views::compile(VIEWS, &columns).unwrap());
    let mut fold = Fold::new(
        views,
        FoldConfig {
            columns,
            dedupe_ids: 4,
            history_max_events: 8,
            history_ttl_ms: None,
            user_ttl_ms: None,
            batch_rows: 64,
            emit: EmitMode::Batch,
            item_window: 4,
            keeps_arrivals: true,
            keeps_order: true,
        },
    );
    fold.assign(0);
    fold
}

/// Packed records, as a router writes them.
fn packed_records() -> Vec<Vec<u8>> {
    let columns = EventColumns::default();
    let mut rows = pipeline::route::rows::Rows::new(&columns);
    for line in [
        r#"{"user_id":"ada","type":"click","time":1700000000000,"item_id":"an item with a long name","value":1.5}"#,
        r#"{"user_id":"bob","type":"buy","time":1700000000001,"event_id":"e1","category":"café"}"#,
    ] {
        let event = decode_event(line.as_bytes(), &columns).unwrap();
        let (half, _) = pipeline::route::rows::halves(&event);
        let origin = pipeline::route::rows::Origin { stamp: 1_699_999_999_000, partition: 3, offset: 7 };
        rows.push(origin, half, &event);
    }
    let control = packed::Control { topic: "events".into(), partition: 3, progress: packed::Progress::At(5) };
    let header = packed::Header { topic: "events".into(), controls: vec![control], ..Default::default() };
    let (mut with, mut without) = (Vec::new(), Vec::new());
    packed::write(&header, rows.take().as_ref(), &mut with).unwrap();
    packed::write(&header, None, &mut without).unwrap();
    vec![with, without]
}

#[test]
fn packed_record() {
    let seeds = [packed_records(), corpus("packed")].concat();
    fuzz("packed", seeds, |bytes| {
        // With its own checksum first, then with one that fits: behind it Arrow reads lengths.
        drop(packed::read(bytes).map(|packed| packed.rows().map(drop)));
        let mut sealed = bytes.to_vec();
        if packed::seal(&mut sealed).is_none() {
            return;
        }
        let Ok(packed) = packed::read(&sealed) else { return };
        if let Ok(Some(rows)) = packed.rows() {
            let mut fold = fold();
            if fold.push(0, &packed.topic(), &rows, i64::MIN, &mut Nobody).is_ok() {
                drop(fold.end_transaction(&mut Nobody));
            }
        }
    });
}

/// A store that holds one snapshot, of which one object is what it is told.
struct Tampered {
    objects: BTreeMap<String, Vec<u8>>,
    name: String,
    bytes: Vec<u8>,
}

impl Objects for Tampered {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(if name == self.name { Some(self.bytes.clone()) } else { self.objects.get(name).cloned() })
    }

    fn create(&self, _: &str, _: Vec<u8>) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn list(&self, _: &str) -> Result<Vec<String>, StoreError> {
        Ok(self.objects.keys().cloned().collect())
    }

    fn remove(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The objects of a snapshot of `packed_records`.
fn snapshot() -> BTreeMap<String, Vec<u8>> {
    let mut fold = fold();
    let records = packed_records();
    let packed = packed::read(&records[0]).unwrap();
    fold.push(0, &packed.topic(), &packed.rows().unwrap().unwrap(), i64::MIN, &mut Nobody).unwrap();
    fold.end_transaction(&mut Nobody).unwrap();
    fold.release().unwrap();
    let mut writer = PartWriter::default();
    fold.export(0).unwrap().batches.iter().for_each(|batch| writer.write(batch).unwrap());
    let (bytes, users) = writer.finish().unwrap().remove(0);
    let object = "00000000000000000007-000-x.arrow".to_string();
    let part = Part { object, offset: 7, bytes: bytes.len() as u64, users, checksum: checksum(&bytes) };
    let manifest = Manifest {
        owner: owner(),
        partition: 0,
        offset: 7,
        minimum: Minimum::default(),
        views: fold.view_identities(),
        models: BTreeMap::new(),
        parts: vec![part.clone()],
        tally: None,
    };
    let folder = "app/00000";
    [(format!("{folder}/00000000000000000007.json"), manifest.encode()), (format!("{folder}/{}", part.object), bytes)]
        .into()
}

fn owner() -> Owner {
    let (app, topic, topic_id) = ("app".into(), "app.by-user".into(), "1".into());
    Owner { format: FORMAT.into(), app, topic, topic_id, partitions: 1 }
}

#[test]
fn restored_snapshot() {
    let objects = snapshot();
    let restore = |name: &str, bytes: &[u8]| {
        let store = Tampered { objects: objects.clone(), name: name.into(), bytes: bytes.to_vec() };
        let archive = Archive::new(Arc::new(store), owner(), None);
        archive.restore(&mut fold(), 0, 0, 7)
    };
    for (name, bytes) in &objects {
        assert!(restore(name, bytes).unwrap().is_some(), "as it was written it is a snapshot");
        fuzz(name, vec![bytes.clone()], |tampered| {
            let restored = restore(name, tampered);
            let is_told = restored.is_err() || restored.is_ok_and(|restored| restored.is_none());
            assert!(is_told || tampered == bytes, "what was changed passes for what was written");
        });
    }
}

#[test]
fn snapshot_manifest() {
    fuzz("manifest", corpus("manifest"), |bytes| drop(Manifest::decode(bytes)));
}

#[test]
fn config() {
    let dir = tempfile::tempdir().unwrap();
    let mut seeds = corpus("config");
    seeds.push(std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("wellspring.toml")).unwrap());
    let path = dir.path().join("fuzzed.toml");
    fuzz("config", seeds, |bytes| {
        std::fs::write(&path, bytes).unwrap();
        drop(pipeline::config::load(Some(&path), &[]).map(|config: Config| config.views_sql().map(drop)));
    });
}
