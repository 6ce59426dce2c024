//! Tasks are windows of the stream, and forgetting is what was known and is not.

use super::worlds;
use crate::evaluate::EvaluateError;
use crate::evaluate::baselines::{Hawkes, Independent, all, constant};
use crate::evaluate::matrix::{Cut, Matrix, OnePass, tasks};

#[test]
fn tasks_cover_the_stream() {
    let stream = worlds::stream(&worlds::there_and_back(2000), 6000);
    let events = stream.whole().events();
    for cut in [Cut::Events, Cut::Time] {
        let tasks = tasks(&stream, 5, cut).unwrap();
        let mut at = 0;
        for task in &tasks {
            assert_eq!((task.train.start, task.dev.start, task.test.start), (at, task.train.end, task.dev.end));
            at = task.test.end;
            let (all, train) = (task.test.end - task.train.start, task.train.len());
            assert_eq!((train, task.dev.start + task.dev.len()), (all * 7 / 10, task.train.start + all * 8 / 10));
        }
        assert_eq!(at, stream.len());
        let span = (events[events.len() - 1].time_ms - events[0].time_ms) / 5;
        for (number, task) in tasks.iter().enumerate() {
            let (len, start) = (task.test.end - task.train.start, events[task.train.start].time_ms);
            match cut {
                Cut::Events => assert_eq!(len, 1200),
                Cut::Time => assert!(start >= events[0].time_ms + span * number as i64),
            }
        }
    }
    assert!(matches!(tasks(&stream, 5000, Cut::Events), Err(EvaluateError::Task { task: 0, tasks: 5000, .. })));
}

#[test]
fn figures_of_a_matrix() {
    let matrix = Matrix {
        initial: vec![3.0, 3.0, 3.0],
        after: vec![vec![1.0, 2.5, 2.0], vec![1.5, 1.0, 2.0], vec![2.0, 1.5, 0.5]],
    };
    assert_eq!(matrix.average(), 4.0 / 3.0);
    assert_eq!(matrix.forgetting(), Some((1.0 + 0.5) / 2.0));
    assert_eq!(matrix.forward_transfer(), Some((0.5 + 1.0) / 2.0));
    let single = Matrix { initial: vec![3.0], after: vec![vec![1.0]] };
    assert_eq!((single.forgetting(), single.forward_transfer()), (None, None));
}

#[test]
fn who_follows_the_stream_forgets_the_regime_before() {
    let stream = worlds::stream(&worlds::there_and_back(4000), 8000);
    let tasks = tasks(&stream, 2, Cut::Events).unwrap();
    for mut model in all() {
        let matrix = Matrix::of(&stream, &tasks, &mut OnePass(model.as_mut())).unwrap();
        assert!(matrix.after[1][1] < matrix.after[0][1], "{}: {matrix:?}", model.name());
    }
    let mut model = Independent::new("constant", constant());
    let matrix = Matrix::of(&stream, &tasks, &mut OnePass(&mut model)).unwrap();
    assert!((0..2).all(|task| matrix.after[task][task] < matrix.initial[task]), "{matrix:?}");
    assert!(matrix.forgetting().unwrap() > 0.05, "{matrix:?}");
    let again = Matrix::of(&stream, &tasks, &mut OnePass(&mut model)).unwrap();
    assert_eq!(matrix, again, "a matrix begins anew");
}

#[test]
fn what_is_learned_of_one_task_helps_with_the_next_of_its_kind() {
    let stream = worlds::stream(&worlds::hawkes(), 4000);
    let tasks = tasks(&stream, 2, Cut::Time).unwrap();
    let matrix = Matrix::of(&stream, &tasks, &mut OnePass(&mut Hawkes::default())).unwrap();
    assert!(matrix.forward_transfer().unwrap() > 0.3 && matrix.forgetting().unwrap() < 0.05, "{matrix:?}");
}
