//! The nine views over skewed users: prints what an event costs, and fails where it costs absurdly much.

use std::{sync::Arc, time::Instant};

use schemas::output::{Emit, Record};

use super::stream::{Row, VIEWS, batch, fold};
use crate::EmitMode;

#[derive(Default)]
struct Count(u64);

impl Emit for Count {
    fn emit(&mut self, _: i32, record: Record<'_>) {
        self.0 += record.value.map_or(0, |value| value.len() as u64);
    }
}

/// 50,000 users, the k-th with a share in proportion to 1/k; about 200 bytes an event.
fn rows(count: u64) -> Vec<Row> {
    let mut bits = 1u64;
    let mut random = move || {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (bits >> 33) as f64 / (1u64 << 31) as f64
    };
    let row = |at: u64| {
        let time = 1_700_000_000_000 + at as i64 * 20;
        let user = 50_000f64.powf(random()) as u64;
        Row {
            user: format!("user-{user:08}"),
            kind: ["click", "click", "view", "buy"][(random() * 4.0) as usize],
            time: time - (random() * 3000.0) as i64,
            event_id: Some(format!("event-{at:020}")),
            other_id: at.is_multiple_of(10).then(|| format!("user-{:08}", at % 997)),
            role: at.is_multiple_of(10).then_some("source"),
            item_id: Some(format!("item-{}", (random() * 5000.0) as u64)),
            value: Some(random() * 100.0),
            category: Some(["food", "home", "garden", "a longer category"][(random() * 4.0) as usize]),
            stamp: time - 5000,
            watermark: time - 5000,
            offset: at as i64,
            ..Row::default()
        }
    };
    (0..count).map(row).collect()
}

/// Microseconds an event.
fn cost(emit: EmitMode, sql: &str, count: u64) -> f64 {
    let rows = rows(count);
    let batches: Vec<_> = rows.chunks(1024).map(|rows| (batch(rows), rows[0].watermark)).collect();
    let topic: Arc<str> = "events".into();
    let mut fold = fold(sql, emit, 8192, 1024);
    let (mut out, start) = (Count::default(), Instant::now());
    for (at, (batch, watermark)) in batches.iter().enumerate() {
        fold.push(0, &topic, batch, *watermark, &mut out).unwrap();
        fold.advance(0, *watermark);
        if at % 8 == 7 {
            fold.end_transaction(&mut out).unwrap();
            fold.release().unwrap();
        }
    }
    start.elapsed().as_secs_f64() * 1e6 / count as f64
}

#[test]
fn an_event_costs_microseconds() {
    let nine: Vec<&str> = VIEWS.split("-- Windows with gaps").collect();
    for view in nine[0].split(';').filter(|view| view.contains("CREATE")) {
        let name = view.split_whitespace().nth(2).unwrap();
        let cost = [EmitMode::Batch, EmitMode::Event].map(|emit| cost(emit, view, 32_768));
        println!("{name}: {:.2} µs an event in batches, {:.2} after every row", cost[0], cost[1]);
    }
    let batch = cost(EmitMode::Batch, nine[0], 65_536);
    let event = cost(EmitMode::Event, nine[0], 16_384);
    println!("nine views: {batch:.2} µs an event in batches, {event:.2} after every row");
    assert!(batch < 200.0 && event < 2000.0);
}
