//! Every kernel equals its twin, bit for bit, at shapes chosen to hurt.

use super::*;

/// Both backends, the same shape.
fn pair(config: Config, buffer_bytes_max: u64) -> (Sdim, Sdim) {
    let shape = Shape { buffer_bytes_max, ..Shape::new(config) };
    let hash = hash_matrix(config.dim);
    (Sdim::with_shape(&Device::Cpu, shape, &hash).unwrap(), Sdim::with_shape(&gpu(), shape, &hash).unwrap())
}

/// Runs `case` on both; signatures, published tables and the states of all slots must be equal.
fn assert_twins(cpu: &mut Sdim, gpu: &mut Sdim, case: &Case, vectors: &[i16]) {
    let signatures = cpu.simhash(vectors).unwrap();
    assert_eq!(signatures, gpu.simhash(vectors).unwrap());
    let tables = case.encode(cpu, vectors, &signatures).unwrap();
    assert!(tables == case.encode(gpu, vectors, &signatures).unwrap(), "published tables differ");
    assert_eq!(tables.len(), case.publish.len() * cpu.shape.rows() * cpu.shape.dim);
    let some = case.slots.iter().step_by(1 + case.slots.len() / 8);
    for &slot in some {
        assert!(cpu.table(slot as usize) == gpu.table(slot as usize), "slot {slot} differs");
    }
}

#[test]
fn every_width() {
    for dim in [1, 2, 3, 63, 64, 65, 128, 200] {
        let mut random = random(dim as u64);
        let (mut cpu, mut gpu) = pair(Config::new(dim, 5), u64::MAX);
        let vectors = vectors(&mut random, 40, dim);
        assert_twins(&mut cpu, &mut gpu, &Case::new(), &[]);
        let adds = |range: std::ops::Range<usize>| range.map(|item| (item, 1));
        let first = Case::new().user(3, true, adds(0..40)).user(0, true, []).user(4, false, adds(7..8));
        assert_twins(&mut cpu, &mut gpu, &first, &vectors);
        let mut second = Case::new()
            .user(0, false, adds(0..3))
            .user(3, false, (0..20).flat_map(|item| [(item, -1), (39 - item, 1)]))
            .user(4, false, [])
            .user(1, true, [(5, 1), (5, -1)]);
        second.publish = vec![3, 1, 1, 0];
        assert_twins(&mut cpu, &mut gpu, &second, &vectors);
        let cleared = Case::new().user(3, true, []);
        assert_twins(&mut cpu, &mut gpu, &cleared, &vectors);
        assert_eq!(cpu.table(3), (vec![0; 128 * dim], vec![0; 128]));
    }
}

#[test]
fn one_very_long_user_among_idle_ones() {
    let mut random = random(11);
    let (mut cpu, mut gpu) = pair(Config::new(70, 80), u64::MAX);
    let vectors = vectors(&mut random, 300, 70);
    let mut case = Case::new();
    for slot in 0..80 {
        let length = if slot == 41 { 33_000 } else { slot % 2 };
        let items: Vec<_> = (0..length).map(|_| (below(&mut random, 300), 1)).collect();
        case = case.user(79 - slot, slot % 3 != 0, items);
    }
    assert_twins(&mut cpu, &mut gpu, &case, &vectors);
}

#[test]
fn more_workgroups_than_one_dimension_holds() {
    let mut random = random(12);
    let users = 4_200; // 67,200 workgroups of the fold, 537,600 of the normalization
    let (mut cpu, mut gpu) = pair(Config::new(1, users), u64::MAX);
    let vectors = vectors(&mut random, 66_000, 1); // one workgroup of the hash each
    let mut case = Case::new();
    for user in 0..users {
        case = case.user((user * 11) % users, false, [(user * 15, 1), (65_999 - user, 1)]);
    }
    assert_twins(&mut cpu, &mut gpu, &case, &vectors);
}

#[test]
fn several_pages_and_several_submissions() {
    let mut random = random(13);
    let table_bytes = 128 * 5 * 4;
    let (mut cpu, mut gpu) = pair(Config::new(5, 7), 3 * table_bytes);
    let vectors = vectors(&mut random, 1_500, 5); // three submissions of at most 640
    for round in 0..3 {
        let mut case = Case::new();
        for slot in [6, 0, 3, 2, 5, 1] {
            case = case.user(slot, round == 0, (0..9).map(|_| (below(&mut random, 1_500), 1)).collect::<Vec<_>>());
        }
        case.publish = vec![5, 0, 3, 3, 1, 2, 4, 5, 0, 1, 1]; // three submissions of at most 5
        assert_twins(&mut cpu, &mut gpu, &case, &vectors);
    }
}

#[test]
fn nothing_published_is_still_folded() {
    for device in backends() {
        let mut sdim = Sdim::new(&device, Config::new(3, 2), &hash_matrix(3)).unwrap();
        let vectors = [16_384, 0, 0];
        let signatures = sdim.simhash(&vectors).unwrap();
        let mut case = Case::new().user(1, true, [(0, 1), (0, 1)]);
        case.publish.clear();
        assert!(case.encode(&mut sdim, &vectors, &signatures).unwrap().is_empty());
        let (sums, counts) = sdim.table(1);
        assert_eq!(counts.iter().sum::<u32>(), 2 * 16);
        assert_eq!(sums.iter().sum::<i32>(), 2 * 16 * 16_384);
    }
}

#[test]
fn misfits_are_refused_before_anything_changes() {
    for device in backends() {
        let mut sdim = Sdim::new(&device, Config::new(2, 4), &hash_matrix(2)).unwrap();
        let good = Case::new().user(0, false, [(0, 1)]).user(3, false, [(1, 1)]);
        let spoil = |spoil: &dyn Fn(&mut Case)| {
            let mut case = good.clone();
            spoil(&mut case);
            case
        };
        let bad = [
            (spoil(&|case| case.slots[1] = 0), "slot 0 is named twice"),
            (spoil(&|case| case.slots[1] = 4), "beyond the 4 slots"),
            (spoil(&|case| case.offsets[1] = 3), "offsets"),
            (spoil(&|case| case.offsets[2] = 1), "offsets"),
            (spoil(&|case| case.fresh.truncate(1)), "fresh"),
            (spoil(&|case| case.changes[0].item = 2), "2 items"),
            (spoil(&|case| case.changes[0].sign = 2), "sign"),
            (spoil(&|case| case.publish[0] = 2), "publish"),
        ];
        for (case, message) in bad {
            let error = case.encode(&mut sdim, &[1, 2, 3, 4], &[0, 1]).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        assert!(good.encode(&mut sdim, &[1, 2, 3, 4], &[0]).is_err());
        assert!(sdim.simhash(&[1, 2, 3]).is_err());
        assert_eq!(sdim.table(0).1, [0; 128]);
        good.encode(&mut sdim, &[1, 2, 3, 4], &[0, 1]).unwrap();
        assert_eq!(sdim.table(0).1.iter().sum::<u32>(), 16);
    }
}

#[test]
fn what_does_not_fit_is_refused_with_numbers() {
    for device in backends() {
        let refuse = |dim: usize, slots: usize, hash: &[i16]| {
            Sdim::new(&device, Config::new(dim, slots), hash).unwrap_err().to_string()
        };
        assert!(refuse(0, 1, &[]).contains("1 to 4096"));
        assert!(refuse(4097, 1, &[]).contains("4097"));
        assert!(refuse(4, 1, &[0; 4]).contains("48 x 4"));
        assert!(refuse(1, 0, &[0; 48]).contains("0 table slots"));
        assert!(refuse(1, 1, &[1025; 48]).contains("1025"));
    }
    let most = Config::new(64, u32::MAX as usize);
    let error = Sdim::new(&gpu(), most, &hash_matrix(64)).unwrap_err().to_string();
    assert!(error.contains("4294967295") && error.contains("fewer"), "{error}");
    assert!(Sdim::new(&Device::Cpu, most, &hash_matrix(64)).is_ok(), "slots cost nothing before they are used");
    let small = Shape { buffer_bytes_max: 511, ..Shape::new(Config::new(1, 1)) };
    let error = Sdim::with_shape(&gpu(), small, &[0; 48]).unwrap_err().to_string();
    assert!(error.contains("512") && error.contains("511"), "{error}");
}

/// Workers own theirs and may move it to their thread.
#[test]
fn tables_can_move_between_threads() {
    fn assert_send<T: Send>() {}
    assert_send::<Sdim>();
    assert_send::<Device>();
}

#[test]
fn a_lost_device_is_an_error_and_a_new_one_rebuilds_the_same() {
    let device = gpu();
    let Device::Gpu(inner) = &device else { unreachable!() };
    let mut sdim = Sdim::new(&device, Config::new(8, 2), &hash_matrix(8)).unwrap();
    let vectors = vectors(&mut random(14), 6, 8);
    let signatures = sdim.simhash(&vectors).unwrap();
    let case = Case::new().user(1, true, (0..6).map(|item| (item, 1)));
    let tables = case.encode(&mut sdim, &vectors, &signatures).unwrap();

    inner.device().destroy();
    let error = case.encode(&mut sdim, &vectors, &signatures).unwrap_err();
    assert!(error.is_device_lost(), "{error}");
    assert!(sdim.simhash(&vectors).unwrap_err().is_device_lost());

    let mut again = Sdim::new(&gpu(), Config::new(8, 2), &hash_matrix(8)).unwrap();
    assert_eq!(case.encode(&mut again, &vectors, &signatures).unwrap(), tables);
}
