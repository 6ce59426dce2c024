//! How long searches take on one thread: a measurement, no test.

use std::time::Instant;

use super::super::bench::Request;
use super::*;

/// The median of `repetitions`, in ms, and the least.
fn timed(repetitions: usize, mut run: impl FnMut()) -> (f64, f64) {
    run();
    let mut times: Vec<f64> = (0..repetitions)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[repetitions / 2], times[0])
}

#[test]
#[ignore = "a measurement"]
fn speed() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        let from = vec![1u8; 256 << 20];
        let mut to = vec![0u8; 256 << 20];
        let (_, copy_ms) = timed(5, || to.copy_from_slice(&from));
        // A copy reads and writes.
        let copy = from.len() as f64 / copy_ms / 1e6;
        println!("copy {copy:.1} GB/s read, and as much written");
        drop((from, to));
        for length in [64, 256, 1024, 4096, 16_384, 65_536, 1 << 20] {
            for candidates in [1, 8, 64, 1000] {
                if length * candidates > 100_000_000 {
                    continue;
                }
                let mut request = Request::new(&Device::Cpu, 64, length, candidates).unwrap();
                let repetitions = (200_000_000 / (length * candidates)).clamp(7, 200);
                let (median, least) = timed(repetitions, || _ = request.search().unwrap());
                let (tiers, _) = timed(repetitions, || _ = request.tiers().unwrap());
                let read = length as f64 * 68.0 / least / 1e6;
                let macs = (length * candidates * 64) as f64 / least / 1e6;
                println!(
                    "L {length} C {candidates}: search {median:.3} ms (least {least:.3}), tiers {tiers:.3} ms; history \
                     {read:.2} GB/s = {:.0} % of a copy, {macs:.1} GMAC/s",
                    read / copy * 100.0
                );
            }
        }
    });
}

/// One shape for a profiler.
#[test]
#[ignore = "a measurement"]
fn profile() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        let mut request = Request::new(&Device::Cpu, 64, 1024, 1000).unwrap();
        println!("{:?}", timed(1000, || _ = request.search().unwrap()));
    });
}
