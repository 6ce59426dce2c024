//! A new model that begins with what gaps and types are, whatever the history.

use super::world::{World, small};
use crate::Device;
use crate::prompt_tpp::{Config, Model};

#[test]
fn it_begins_with_the_spread_of_gaps_and_the_counts_of_types() {
    let world = World::new(&[20, 20], 5, 1);
    let mut model = Model::new(&Device::Cpu, Config { components: 8, ..small() }, 3).unwrap();
    // Three of ten gaps within 1 % of 20 ms, the others of 5 s: no wide component can say so.
    let gaps: Vec<i64> = (0..5000).map(|n| if n % 10 < 3 { 2000 + n % 20 } else { 500_000 + n % 5000 } / 100).collect();
    let types: Vec<u32> = (0..5000).map(|n| if n % 10 < 9 { 3 } else { n % 5 }).collect();
    model.start_from(&gaps, &types);
    let forecasts = model.forecast(&world.batch()).unwrap();
    for b in 0..2 {
        let gap = forecasts.gap(b);
        let between = gap.survival(15.0) - gap.survival(27.0);
        assert!((between - 0.3).abs() < 0.1, "{between} of the gaps are around 20 ms");
        let between = gap.survival(3750.0) - gap.survival(6700.0);
        assert!((between - 0.7).abs() < 0.1, "{between} of the gaps are around 5 s");
        assert!(forecasts.types(b)[3] > 0.6, "{:?}", forecasts.types(b));
    }
    let untouched = model.save();
    model.start_from(&[], &[]);
    assert_eq!(model.save(), untouched, "nothing is known of no gap");
}
