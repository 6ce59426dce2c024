//! State larger than memory, and users who are gone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use schemas::output::Output;

use super::{
    snapshot::Chains,
    stream::{Cuts, Out, Row, Sent, VIEWS, batch, fold, fold_with, run, run_with},
    streams::{HISTORY, cuts, rows, step},
};
use crate::{ColdError, ColdStore, EmitMode, Fold};

/// By task and key.
type Map = BTreeMap<(i32, Vec<u8>), Vec<u8>>;

/// A store in memory.
#[derive(Clone, Default)]
struct Entries(Arc<Mutex<Map>>);

impl ColdStore for Entries {
    fn put(&mut self, task: i32, entries: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), ColdError> {
        self.0.lock().unwrap().extend(entries.into_iter().map(|(key, value)| ((task, key), value)));
        Ok(())
    }

    fn get(&self, task: i32, key: &[u8]) -> Result<Option<Vec<u8>>, ColdError> {
        Ok(self.0.lock().unwrap().get(&(task, key.to_vec())).cloned())
    }

    fn keys(&self, task: i32, from: &[u8], to: &[u8], most: usize) -> Result<Vec<Vec<u8>>, ColdError> {
        let entries = self.0.lock().unwrap();
        let range = entries.range((task, from.to_vec())..(task, to.to_vec()));
        Ok(range.map(|((_, key), _)| key.clone()).take(most).collect())
    }

    fn remove(&mut self, task: i32, keys: Vec<Vec<u8>>) -> Result<(), ColdError> {
        let mut entries = self.0.lock().unwrap();
        keys.into_iter().for_each(|key| drop(entries.remove(&(task, key))));
        Ok(())
    }

    fn clear(&mut self, task: i32) -> Result<(), ColdError> {
        self.0.lock().unwrap().retain(|(of, _), _| *of != task);
        Ok(())
    }
}

/// A fold of all kinds of windows that sends users away at every turn.
fn small(emit: EmitMode, batch_rows: usize, limit_bytes: usize, user_ttl_ms: Option<i64>) -> (Fold, Entries) {
    let mut small = fold_with(VIEWS, |config| {
        (config.emit, config.batch_rows, config.history_max_events) = (emit, batch_rows, HISTORY);
        config.user_ttl_ms = user_ttl_ms;
    });
    let entries = Entries::default();
    small.set_cold_store(Box::new(entries.clone()), limit_bytes, 0);
    (small, entries)
}

fn by_partition(sent: Vec<Sent>) -> BTreeMap<(Output, i32), Vec<Sent>> {
    let mut by = BTreeMap::<_, Vec<Sent>>::new();
    sent.into_iter().for_each(|record| by.entry((record.output, record.partition)).or_default().push(record));
    by
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// With users in the cold store, exports and restarts included, the worker says the same, bit for bit.
    #[test]
    fn who_is_where_changes_nothing(
        steps in proptest::collection::vec(step(), 1..120),
        cuts in cuts(),
        limit_bytes in prop_oneof![Just(1), 1..20_000usize],
        restarts in proptest::collection::vec(0..4u8, 1..9),
    ) {
        let rows = rows(&steps);
        for emit in [EmitMode::Batch, EmitMode::Event] {
            let want = run(&mut fold(VIEWS, emit, cuts.batch_rows, HISTORY), &rows, &cuts);
            let (mut worker, _) = small(emit, cuts.batch_rows, limit_bytes, None);
            let (mut chains, mut at) = (Chains::default(), 0);
            let got = run_with(&mut worker, &rows, &cuts, &mut |worker| {
                let step = restarts[at % restarts.len()];
                at += 1;
                if step > 1 {
                    chains.export(worker);
                }
                if step > 2 {
                    let watermarks = [0, 1, 2].map(|task| worker.state.tasks[&task].watermark);
                    let (mut fresh, _) = small(emit, cuts.batch_rows, limit_bytes, None);
                    chains.restore(&mut fresh, watermarks, &worker.views.identities()).unwrap();
                    assert_eq!(fresh.counters().users, worker.counters().users);
                    *worker = fresh;
                }
            });
            prop_assert_eq!(by_partition(want), by_partition(got));
        }
    }

    /// When a user is gone is a matter of the log, not of how it is cut or of who is where.
    #[test]
    fn who_is_gone_does_not_depend_on_the_cutting(
        steps in proptest::collection::vec(step(), 1..120),
        a in cuts(),
        b in cuts(),
        ttl_s in 1..600i64,
    ) {
        let rows = rows(&steps);
        let said = |cuts: &Cuts, limit_bytes: usize| {
            let fresh = || small(EmitMode::Event, cuts.batch_rows, limit_bytes, Some(ttl_s * 1000)).0;
            let (mut worker, mut chains) = (fresh(), Chains::default());
            let mut by: BTreeMap<(Output, i32, String), Vec<Sent>> = BTreeMap::new();
            let restarts = |worker: &mut Fold| {
                chains.export(worker);
                let watermarks = [0, 1, 2].map(|task| worker.state.tasks[&task].watermark);
                let mut restored = fresh();
                chains.restore(&mut restored, watermarks, &worker.views.identities()).unwrap();
                assert_eq!(restored.counters().users, worker.counters().users);
                *worker = restored;
            };
            for record in run_with(&mut worker, &rows, cuts, &mut { restarts }) {
                by.entry((record.output, record.partition, record.key.clone())).or_default().push(record);
            }
            by
        };
        let (a, b) = (said(&a, usize::MAX), said(&b, 1));
        prop_assert!(a.keys().eq(b.keys()));
        for (place, a) in a {
            let texts = |sent: &[Sent]| sent.iter().map(|sent| sent.value.is_some()).collect::<Vec<_>>();
            prop_assert_eq!(texts(&a), texts(&b[&place]), "{:?}", place);
        }
    }
}

const SQL: &str = "
    CREATE VIEW hours AS SELECT user_id, count(*) AS n FROM events GROUP BY user_id, tumble(INTERVAL '1 hour');
    CREATE VIEW ever AS SELECT user_id, count(*) AS n FROM events GROUP BY user_id, lifetime();";

fn push(fold: &mut Fold, user: &str, time: i64, watermark: i64) -> Vec<(u16, String, Option<i64>)> {
    let mut out = Out::default();
    let row = Row { user: user.into(), kind: "click", time, stamp: i64::MIN, ..Row::default() };
    fold.push(0, &"events".into(), &batch(&[row]), watermark, &mut out).unwrap();
    settle(fold, out)
}

fn settle(fold: &mut Fold, mut out: Out) -> Vec<(u16, String, Option<i64>)> {
    fold.end_transaction(&mut out).unwrap();
    fold.release().unwrap();
    let of = |sent: Sent| {
        let Output::View(view) = sent.output else { panic!("{sent:?}") };
        (view, sent.key, sent.value.map(|value| value["n"].as_i64().unwrap()))
    };
    out.0.into_iter().map(of).collect()
}

#[test]
fn memory_holds_its_limit_and_everybody_is_counted() {
    let mut small = fold_with(SQL, |config| config.history_max_events = 4);
    let entries = Entries::default();
    small.set_cold_store(Box::new(entries.clone()), 64 << 10, 0);
    let mut most = 0;
    for round in 0..20_000i64 {
        push(&mut small, &format!("user {}", round % 5000), round, i64::MIN);
        most = most.max(small.bytes());
    }
    assert!(most < 66 << 10, "{most} bytes");
    assert!(small.resident_users() < 1000, "{}", small.resident_users());
    assert_eq!(small.counters().users, 5000);
    // All that ends comes back to be told of, in the order of users.
    small.advance(0, 7_200_000);
    let closed = settle(&mut small, Out::default());
    let mut ids: Vec<String> = (0..5000).map(|at| format!("user {at}")).collect();
    ids.sort();
    assert_eq!(closed, ids.into_iter().map(|id| (0, id, Some(4))).collect::<Vec<_>>());
    assert!(small.bytes() < 66 << 10);
    assert_eq!(push(&mut small, "user 7", 7_300_000, i64::MIN), [(1, "user 7".into(), Some(5))]);
    small.revoke(0).unwrap();
    assert_eq!((small.counters().users, entries.0.lock().unwrap().len()), (0, 0));
}

#[test]
fn who_is_forgotten_is_nowhere() {
    let mut small = fold_with(SQL, |_| ());
    let entries = Entries::default();
    small.set_cold_store(Box::new(entries.clone()), 1, 0);
    for user in ["ada", "bob"] {
        push(&mut small, user, 1000, i64::MIN);
    }
    assert_eq!(small.resident_users(), 0);
    let slot = small.forget(0, "ada", &mut Out::default()).unwrap();
    assert!(slot.is_some());
    settle(&mut small, Out::default());
    let holds = |name: &str| {
        let is_his = |(_, key): &(i32, Vec<u8>)| key.strip_prefix(b"u").is_some_and(|id| id == name.as_bytes());
        entries.0.lock().unwrap().keys().any(is_his)
    };
    assert!(!holds("ada") && holds("bob"));
    assert_eq!(small.counters().users, 1);
    small.advance(0, i64::MAX);
    assert_eq!(settle(&mut small, Out::default()), [(0, "bob".into(), Some(1))]);
}

#[test]
fn an_idle_user_is_gone_when_the_watermark_has_passed_him() {
    let mut worker = fold_with(SQL, |config| config.user_ttl_ms = Some(7_200_000));
    let hour = 3_600_000;
    push(&mut worker, "ada", 0, i64::MIN);
    push(&mut worker, "bob", 0, i64::MIN);
    worker.advance(0, 2 * hour);
    assert_eq!(settle(&mut worker, Out::default()), [(0, "ada".into(), Some(1)), (0, "bob".into(), Some(1))]);
    assert_eq!(push(&mut worker, "bob", 2 * hour, 2 * hour), [(1, "bob".into(), Some(2))]);
    worker.advance(0, 2 * hour + 1);
    assert_eq!(settle(&mut worker, Out::default()), [(1, "ada".into(), None)]);
    assert_eq!(worker.counters().users, 1);
    let left = worker.take_left();
    assert_eq!(left.iter().map(|left| left.user_id.as_deref()).collect::<Vec<_>>(), [Some("ada")]);
    // A row at a watermark that has passed him finds him gone, whoever was told of it before.
    let anew = push(&mut worker, "bob", 5 * hour, 5 * hour);
    assert_eq!(anew, [(1, "bob".into(), None), (1, "bob".into(), Some(1))]);
    let export = worker.export(0).unwrap();
    assert!(!export.forgets && export.users == 3, "{export:?}");
    // The end of the stream is not the end of its users.
    worker.advance(0, i64::MAX);
    assert_eq!(settle(&mut worker, Out::default()), [(0, "bob".into(), Some(1)), (0, "bob".into(), Some(1))]);
    assert_eq!(worker.counters().users, 1);
}
