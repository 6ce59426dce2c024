//! Rows of length 1: against f64, at the extremes, and the same bits everywhere.

use half::f16;

use super::*;

/// Rows of every magnitude: uniform, spread over the powers of two, one large among small, single, empty, extreme.
fn rows(random: &mut ChaCha8Rng, count: usize, dim: usize) -> Vec<Vec<i32>> {
    const MOST: i32 = WINDOW_MAX as i32 * 16_384;
    let mut draw = |kind: usize| -> Vec<i32> {
        let bits = 1 + below(random, 30);
        let mut any = |bits: usize| (random.next_u32() as i32) >> (32 - bits);
        let mut row: Vec<i32> = match kind {
            0 => (0..dim).map(|_| any(bits)).collect(),
            1 => (0..dim).map(|_| any(31)).map(|value| value >> (value & 31)).collect(),
            2 => (0..dim).map(|_| any(3)).collect(),
            _ => vec![0; dim],
        };
        let place = any(31).unsigned_abs() as usize % dim;
        match kind {
            2 => row[place] = any(bits),
            3 => row[place] = if bits < 15 { MOST } else { -MOST },
            4 => row[place] = any(bits),
            _ => {}
        }
        // Within the length that a window of unit vectors allows.
        let length = row.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
        let most = f64::from(MOST);
        let factor = if length > most { most / length } else { 1.0 };
        row.iter().map(|&value| (f64::from(value) * factor) as i32).collect()
    };
    (0..count).map(|index| draw(index % 6)).collect()
}

/// f16 bits as steps along the number line.
fn steps(bits: u16) -> i32 {
    let magnitude = i32::from(bits & 0x7fff);
    if bits & 0x8000 == 0 { magnitude } else { -magnitude }
}

#[test]
fn within_one_ulp_of_f64() {
    let mut random = random(21);
    let mut worst: f64 = 0.0;
    for dim in [1, 2, 3, 7, 64, 128, 200] {
        for row in rows(&mut random, 3_000, dim) {
            let mut found = vec![1; dim];
            cpu::normalize(dim, &row, &[1], &mut found);
            let length = row.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
            for (&value, &bits) in row.iter().zip(&found) {
                let expected = if length == 0.0 { 0.0 } else { f64::from(value) / length };
                let near = (steps(bits) - steps(f16::from_f64(expected).to_bits())).abs() <= 1;
                let error = (f16::from_bits(bits).to_f64() - expected).abs();
                assert!(near, "{value} of {row:?}: {error}");
                worst = worst.max(error);
            }
        }
    }
    // Half an ulp of values in [0.5, 1], and the rounding before.
    assert!(worst <= 0.000_244_2, "{worst}");
}

#[test]
fn both_backends_give_the_same_bits() {
    let gpu = gpu();
    for dim in [1, 3, 64, 65, 200] {
        let mut random = random(22 + dim as u64);
        let hash = hash_matrix(dim);
        let config = Config::new(dim, 24);
        let mut cpu = Sdim::new(&Device::Cpu, config, &hash).unwrap();
        let mut gpu = Sdim::new(&gpu, config, &hash).unwrap();
        let mut case = Case::new();
        for slot in 0..24 {
            let sums: Vec<i32> = rows(&mut random, 128, dim).concat();
            let counts: Vec<u32> = sums.chunks(dim).map(|row| u32::from(row.iter().any(|&sum| sum != 0))).collect();
            cpu.load(slot, &sums, &counts);
            gpu.load(slot, &sums, &counts);
            case = case.user(slot, false, []);
        }
        let tables = case.encode(&mut cpu, &[], &[]).unwrap();
        let other = case.encode(&mut gpu, &[], &[]).unwrap();
        let differing = tables.iter().zip(&other).filter(|(a, b)| a != b).count();
        assert_eq!(differing, 0, "of {} at dim {dim}", tables.len());
        assert!(tables.iter().filter(|&&bits| bits != 0).count() > tables.len() / 4);
    }
}

#[test]
fn a_row_whose_items_cancel_is_zero_and_so_is_one_without_items() {
    let mut table = vec![1; 6];
    cpu::normalize(2, &[0, 0, 0, 0, 3, 4], &[2, 0, 1], &mut table);
    let number = |value: f32| f16::from_f32(value).to_bits();
    assert_eq!(table, [0, 0, 0, 0, number(0.6), number(0.8)]);
}

/// The kernel's conversion by shifts equals the library's for every value that can occur.
#[test]
fn conversion_by_shifts_is_exact() {
    for units in 0..=1u32 << 24 {
        let by_shifts = if units < 2048 {
            units
        } else {
            let shift = 21 - units.leading_zeros();
            let (kept, rest, half) = (units >> shift, units & ((1 << shift) - 1), (1 << shift) >> 1);
            let up = shift > 0 && (rest > half || (rest == half && kept & 1 == 1));
            (shift << 10) + kept + u32::from(up)
        };
        let expected = f16::from_f32(units as f32 / 16_777_216.0).to_bits();
        assert_eq!(by_shifts, u32::from(expected), "{units} / 2^24");
    }
}
