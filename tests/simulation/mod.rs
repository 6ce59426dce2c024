//! Seeded worlds: processes that crash at any call, lost answers, zombies, rebalances, a store that fails; what comes out
//! is what comes out of a world where nothing happens.
//!
//!     WELLSPRING_SEED=12345 cargo test --release --test wellspring simulation::one      # one world again, with its log
//!     WELLSPRING_WORLDS=100000 cargo test --release --test wellspring simulation::many  # the long mode
//!
//! # Layout
//! - `plan`: what a world lives through. `world`: the log, the processes, the clock, one step after the other. `process`: one
//!   of them. `fate`: what happens to them; `happened`: how often. `weather`: calls that fail.
//! - `shelf`: an object store in memory that fails. `cellar`: disks for idle users that are full. `outcome`: what came out.
//!   `asked`: requests for scores.

mod asked;
mod cellar;
mod fate;
mod happened;
mod outcome;
mod plan;
mod process;
mod shelf;
mod weather;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use self::happened::Happened;
use self::plan::Plan;
use self::world::World;
pub use self::world::views;

/// Worlds of `simulation::many`.
const WORLDS: u64 = 2000;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Lives one world to its end and holds it against the one where nothing happens.
fn live(seed: u64) -> Result<(), String> {
    let plan = Plan::of(seed);
    let (mut calm, mut wild) = (World::new(&plan, None), World::new(&plan, Some(seed)));
    calm.run()?;
    wild.run()?;
    let (want, got) = (calm.routed(), wild.routed());
    let differs = got.iter().find(|row| !want.contains(row)).or(want.iter().find(|row| !got.contains(row)));
    differs.map_or(Ok(()), |row| Err(format!("a row was sent in one of the two worlds only: {row:?}")))?;
    wild.outcome().compare(&calm.outcome())
}

fn report(seed: u64, problem: &str) -> String {
    format!(
        "world {seed}: {problem}\nlive it again: WELLSPRING_SEED={seed} cargo test --release --test wellspring \
         simulation::one -- --nocapture"
    )
}

#[test]
fn many() {
    let first = number("WELLSPRING_SEED").unwrap_or(1);
    let worlds = number("WELLSPRING_WORLDS").unwrap_or(WORLDS);
    let next = AtomicU64::new(first);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let failed: Vec<String> = std::thread::scope(|scope| {
        let lives = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + worlds {
                    return None;
                }
                let lived =
                    std::panic::catch_unwind(|| live(seed)).unwrap_or_else(|_| Err("a panic, see above".into()));
                if let Err(problem) = lived {
                    next.store(u64::MAX / 2, Ordering::Relaxed);
                    return Some(report(seed, &problem));
                }
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(lives)).collect();
        threads.into_iter().filter_map(|thread| thread.join().expect("a thread that catches panics")).collect()
    });
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// One world, with the service's own log lines where `RUST_LOG` or a seed asks for them.
#[test]
fn one() {
    let seed = number("WELLSPRING_SEED");
    if seed.is_some() {
        let _ = tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).without_time().try_init();
    }
    let seed = seed.unwrap_or(0);
    live(seed).unwrap_or_else(|problem| panic!("{}", report(seed, &problem)));
}

/// The worlds are what they claim to be: things happen in them.
#[test]
fn things_happen() {
    let mut all = Happened::default();
    for seed in 1..=60 {
        let mut world = World::new(&Plan::of(seed), Some(seed));
        world.run().unwrap();
        all.add(&world.happened);
    }
    let Happened {
        crashes,
        zombies,
        snapshots,
        restored,
        expired,
        stops,
        faults,
        store_faults,
        torn,
        cold,
        full_disks,
        lost_devices,
        expired_records,
        versions,
        rankings,
        items,
        forecasts,
        answers,
        negatives,
    } = all;
    for (count, what) in [
        (crashes, "crashes"),
        (zombies, "steps of zombies"),
        (snapshots, "snapshots"),
        (restored, "tasks restored from snapshots"),
        (expired, "expired sessions and transactions"),
        (stops, "graceful stops"),
        (faults, "failed calls"),
        (store_faults, "failed calls of the store"),
        (torn, "damaged manifests"),
        (cold, "users who came back from disk"),
        (full_disks, "full disks"),
        (lost_devices, "lost devices"),
        (expired_records, "records whose time was over"),
        (versions, "versions of a model that forecasts"),
        (rankings, "versions of models that score"),
        (items, "versions of vectors of items"),
        (forecasts, "forecasts"),
        (answers, "answers"),
        (negatives, "purchases with negatives"),
    ] {
        let least = if what == "lost devices" { 1 } else { 5 };
        assert!(count >= least, "{count} {what} in 60 worlds");
    }
}

#[test]
fn one_seed_is_one_world() {
    for seed in [3, 4] {
        let live = || {
            let mut world = World::new(&Plan::of(seed), Some(seed));
            world.run().unwrap();
            (world.happened.clone(), world.outcome().records())
        };
        assert_eq!(live(), live());
    }
}
