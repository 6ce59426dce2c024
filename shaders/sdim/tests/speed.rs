//! How long reads and updates take on one thread: a measurement, no test.

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
    for (bits, group_bits) in [(48, 3), (96, 6), (160, 10)] {
        let config = Config { dim: 64, slots: 1, bits, group_bits };
        for length in [64, 256, 1024, 4096, 16_384] {
            let mut request = Request::new(config, length, 1000, true).unwrap();
            let read = timed(200, || _ = request.read().unwrap());
            let hashed = timed(200, || _ = request.read_hashed().unwrap());
            let window = timed(20, || _ = request.read_window().unwrap());
            println!("({bits}, {group_bits}) L {length}: read {read:.3?} hashed {hashed:.3?} window {window:.3?} ms");
        }
        let mut request = Request::new(config, 16_384, 0, true).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let (_, least) = pool.install(|| timed(20, || request.update().unwrap()));
        println!("({bits}, {group_bits}) updates: {:.0} events/s", 16_384.0 / least * 1e3);
    }
}
