//! Reads: against f64 by the definition, from tables and from windows, on both devices, for every form of the hash.

use super::*;

/// (bits, group bits, dim): within a word, across words, groups that straddle them, one group, no whole register.
const FORMS: [(usize, usize, usize); 7] =
    [(48, 3, 64), (96, 6, 64), (160, 10, 16), (4, 2, 5), (70, 7, 3), (12, 12, 1), (256, 8, 130)];

/// Equation 12 in f64, straight from vectors and signatures.
fn expected(config: &Config, items: &[usize], vectors: &[i16], signatures: &[u64], candidate: &[u64]) -> Vec<f64> {
    let words = config.signature_words();
    let bit = |signature: &[u64], k: usize| signature[k / 64] >> (k % 64) & 1;
    let mut mean = vec![0.0; config.dim];
    for group in 0..config.groups() {
        let mut sum = vec![0.0; config.dim];
        for &item in items {
            let own = &signatures[item * words..][..words];
            let mut bits = group * config.group_bits..(group + 1) * config.group_bits;
            if bits.all(|k| bit(own, k) == bit(candidate, k)) {
                let vector = &vectors[item * config.dim..][..config.dim];
                sum.iter_mut().zip(vector).for_each(|(sum, &x)| *sum += f64::from(x));
            }
        }
        let length = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
        if length > 0.0 {
            mean.iter_mut().zip(&sum).for_each(|(mean, x)| *mean += x / length / config.groups() as f64);
        }
    }
    mean
}

/// The bits of `vector`'s products, by the definition.
fn signature(config: &Config, hash: &[i16], vector: &[i16]) -> Vec<u64> {
    let mut signature = vec![0; config.signature_words()];
    for (k, plane) in hash.chunks_exact(config.dim).enumerate() {
        let z: i64 = plane.iter().zip(vector).map(|(&r, &x)| i64::from(r) * i64::from(x)).sum();
        signature[k / 64] |= u64::from(z > 0) << (k % 64);
    }
    signature
}

#[test]
fn every_form_equals_the_definition() {
    for (bits, group_bits, dim) in FORMS {
        let config = Config { dim, slots: 3, bits, group_bits };
        let hash = hash_matrix_of(bits, dim);
        let vectors = vectors(&mut random(bits as u64), 90, dim);
        let candidates = &vectors[..31 * dim];
        let mut all = Vec::new();
        for device in backends() {
            let mut sdim = Sdim::new(&device, config, &hash).unwrap();
            let signatures = sdim.simhash(&vectors).unwrap();
            let by_definition: Vec<u64> =
                vectors.chunks_exact(dim).flat_map(|vector| signature(&config, &hash, vector)).collect();
            assert_eq!(signatures, by_definition, "{bits} bits on {}", device.name());

            // Items come, some twice, and go.
            let first = Case::new().user(1, true, (0..80).map(|item| (item, 1)));
            first.encode(&mut sdim, &vectors, &signatures).unwrap();
            let second = Case::new().user(1, false, (0..25).map(|item| (item, -1)).chain([(40, 1)]));
            second.encode(&mut sdim, &vectors, &signatures).unwrap();
            let window: Vec<usize> = (25..80).chain([40]).collect();

            let (mut reads, mut from_window) = (vec![9.0; 7], Vec::new());
            sdim.read(1, candidates, &mut reads).unwrap();
            let words = config.signature_words();
            for (candidate, read) in reads.chunks_exact(dim).enumerate() {
                let own = &signatures[candidate * words..][..words];
                let expected = expected(&config, &window, &vectors, &signatures, own);
                for (found, expected) in read.iter().zip(expected) {
                    assert!((f64::from(*found) - expected).abs() < 3e-7, "{bits} bits: {found}, not {expected}");
                }
            }
            let slices: Vec<&[i16]> = window.iter().map(|&item| &vectors[item * dim..][..dim]).collect();
            let own: Vec<u64> = window.iter().flat_map(|&item| signatures[item * words..][..words].to_vec()).collect();
            let window = Window { vectors: &slices, signatures: &own };
            sdim.read_window(&window, &signatures[..31 * words], &mut from_window).unwrap();
            assert_eq!(reads, from_window);
            all.push(reads);
        }
        assert_eq!(all[0], all[1], "{bits} bits: the devices differ");
    }
}

#[test]
fn a_candidate_reads_the_same_whoever_stands_beside_it() {
    let mut sdim = Sdim::new(&Device::Cpu, Config::new(64, 1), &hash_matrix(64)).unwrap();
    let vectors = vectors(&mut random(5), 5_000, 64);
    let signatures = sdim.simhash(&vectors).unwrap();
    let case = Case::new().user(0, true, (0..300).map(|item| (item, 1)));
    case.encode(&mut sdim, &vectors, &signatures).unwrap();
    let (mut all, mut one) = (Vec::new(), Vec::new());
    sdim.read(0, &vectors, &mut all).unwrap();
    for item in [0, 1, 2, 777, 4_998, 4_999] {
        sdim.read(0, &vectors[item * 64..][..64], &mut one).unwrap();
        assert_eq!(one, all[item * 64..][..64]);
    }
}

#[test]
fn nothing_kept_and_items_that_cancel_read_as_zero() {
    for device in backends() {
        let mut sdim = Sdim::new(&device, Config::new(2, 2), &hash_matrix(2)).unwrap();
        // Signatures are the caller's: two opposite vectors in one bucket.
        let vectors = [100, -7, -100, 7];
        let case = Case::new().user(0, true, [(0, 1), (1, 1)]);
        case.encode(&mut sdim, &vectors, &[0, 0]).unwrap();
        let mut reads = Vec::new();
        for slot in [0, 1] {
            sdim.read_hashed(slot, &[0, !0 >> 16], &mut reads).unwrap();
            assert_eq!(reads, [0.0; 4]);
        }
        sdim.read(0, &[], &mut reads).unwrap();
        assert!(reads.is_empty());
    }
}

#[test]
fn misfits_are_refused() {
    let config = Config { dim: 2, slots: 1, bits: 96, group_bits: 6 };
    let mut sdim = Sdim::new(&Device::Cpu, config, &hash_matrix_of(96, 2)).unwrap();
    let mut reads = Vec::new();
    assert!(sdim.read(0, &[1, 2, 3], &mut reads).is_err());
    let error = sdim.read_hashed(0, &[1], &mut reads).unwrap_err().to_string();
    assert!(error.contains("signatures of 2"), "{error}");
    let error = sdim.read_hashed(1, &[1, 2], &mut reads).unwrap_err().to_string();
    assert!(error.contains("slot 1"), "{error}");
    let short = Window { vectors: &[&[1]], signatures: &[0, 0] };
    assert!(sdim.read_window(&short, &[1, 2], &mut reads).unwrap_err().to_string().contains("1 components"));
    let few = Window { vectors: &[&[1, 2]], signatures: &[0] };
    assert!(sdim.read_window(&few, &[1, 2], &mut reads).unwrap_err().to_string().contains("2 words"));

    let refuse = |bits: usize, group_bits: usize| {
        let config = Config { dim: 1, slots: 1, bits, group_bits };
        Sdim::new(&Device::Cpu, config, &hash_matrix_of(bits, 1)).unwrap_err().to_string()
    };
    assert!(refuse(0, 1).contains("sdim.bits is 0"));
    assert!(refuse(257, 1).contains("256"));
    assert!(refuse(48, 5).contains("divide"));
    assert!(refuse(48, 0).contains("sdim.group_bits is 0"));
    assert!(refuse(52, 13).contains("12"));
    assert!(refuse(128, 1).contains("128 groups"));
}
