//! A measurement.

#[test]
#[ignore = "a measurement"]
fn speed() {
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let timings = pool.install(|| crate::prompt_tpp::bench::bench(&crate::Device::Cpu, 256, 64, 9)).unwrap();
        let least = |times: &[f64]| times.iter().copied().fold(f64::MAX, f64::min);
        println!(
            "{threads} threads: step {:.1} ms, forecast {:.1} ms",
            least(&timings.step_ms),
            least(&timings.forecast_ms)
        );
    }
}
