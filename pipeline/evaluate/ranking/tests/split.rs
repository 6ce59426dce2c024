//! Requests are split by examples in the order of time, and see what is strictly older.

use proptest::prelude::*;

use crate::evaluate::ranking::log::{Behavior, Items, Labelled, Log, Request};
use crate::evaluate::ranking::{Part, RankingError};

fn items(n: u32) -> Items {
    Items {
        names: (0..n).map(|item| item.to_string().into()).collect(),
        categories: vec![0; n as usize],
        ..Items::default()
    }
}

fn log(behaviors: Vec<(u32, Behavior)>, requests: Vec<Labelled>) -> Result<Log, RankingError> {
    Log::new(items(9), 1, Vec::new(), behaviors, requests, Vec::new())
}

fn request(user: u32, time_ms: i64, candidates: usize) -> Labelled {
    let labels = (0..candidates).map(|n| n == 0).collect();
    Labelled { user, time_ms, items: (0..candidates as u32).map(|n| n % 9).collect(), labels, features: Vec::new() }
}

proptest! {
    #[test]
    fn parts_follow_each_other_and_no_time_is_parted(
        requests in prop::collection::vec((0..4_u32, 0..30_i64, 2..6_usize), 20..80),
        behaviors in prop::collection::vec((0..4_u32, 0..30_i64), 0..60),
    ) {
        let behavior = |(user, time_ms): (u32, i64)| (user, Behavior { time_ms, item: 1, action: 1 });
        let acts: Vec<(u32, Behavior)> = behaviors.into_iter().map(behavior).collect();
        let asked = requests.into_iter().map(|(user, time_ms, n)| request(user, time_ms, n)).collect();
        // So few times that a part may be empty: then it is refused.
        let Ok(log) = log(acts.clone(), asked) else { return Ok(()) };
        prop_assert!(log.requests.is_sorted_by_key(|request| request.time_ms));
        let number = |part: Part| part as usize;
        prop_assert!(log.requests.is_sorted_by_key(|request| number(request.part)));
        for pair in log.requests.windows(2) {
            prop_assert!(pair[0].time_ms < pair[1].time_ms || pair[0].part == pair[1].part);
        }
        let all = log.candidates.len() as f64;
        for (until, share) in [(Part::Validation, 0.7), (Part::Test, 0.8)] {
            let first = log.requests.iter().find(|request| request.part as usize >= until as usize).unwrap();
            // The middles of all requests before are below the share, and the moment itself reaches it.
            let reached = |request: &&Request| {
                (request.candidates.start + request.candidates.end) as f64 / 2.0 >= share * all
            };
            prop_assert!(!log.requests.iter().any(|request| request.time_ms < first.time_ms && reached(&request)));
            prop_assert!(log.requests.iter().any(|request| request.time_ms == first.time_ms && reached(&request)));
        }
        for request in &log.requests {
            let older = acts.iter().filter(|(user, act)| *user == request.user && act.time_ms < request.time_ms);
            prop_assert_eq!(request.behaviors, older.count());
            prop_assert!(log.history(request, 3).len() == request.behaviors.min(3));
        }
    }
}

#[test]
fn a_part_of_one_label_is_refused() {
    let error = log(Vec::new(), Vec::new()).unwrap_err().to_string();
    assert!(error.contains("training part has 0 candidates") && error.contains("--input candidates"), "{error}");
    let mut requests: Vec<Labelled> = (0..100).map(|time| request(0, time, 3)).collect();
    assert!(log(Vec::new(), requests.clone()).is_ok());
    requests[75].labels.fill(false);
    assert!(log(Vec::new(), requests.clone()).is_ok());
    requests[70..80].iter_mut().for_each(|request| request.labels.fill(false));
    let error = log(Vec::new(), requests).unwrap_err().to_string();
    assert!(error.contains("validation part has 30 candidates, 0 of them clicked"), "{error}");
}
