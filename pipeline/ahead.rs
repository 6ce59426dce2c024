//! Reads versions of models as they are published, on a thread of its own: who comes to where one is in force finds it there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::encode::ItemSource;
use crate::roles::Rooms;

/// Between two looks, and after one that failed.
const PAUSE: Duration = Duration::from_millis(10);
const PAUSE_FAILED: Duration = Duration::from_secs(1);

/// Begins to read ahead, until `stop`; none where no model has versions that somebody will need.
pub fn read_ahead(rooms: &Rooms, stop: Arc<AtomicBool>) -> Option<JoinHandle<()>> {
    let (scorers, forecasts) = (rooms.scorers.clone(), rooms.forecasts.clone());
    let items = match &rooms.items {
        ItemSource::Catalogue(catalogue) if catalogue.learns() => Some(Arc::clone(catalogue)),
        _ => None,
    };
    if scorers.is_empty() && forecasts.is_none() && items.is_none() {
        return None;
    }
    let follow = move || {
        while !stop.load(Ordering::Relaxed) {
            // What cannot be had is said by who needs it.
            let failed = scorers.iter().filter(|versions| versions.read_ahead().is_err()).count()
                + items.iter().filter(|catalogue| catalogue.read_ahead().is_err()).count()
                + forecasts.iter().filter(|shelf| shelf.look().is_err()).count();
            std::thread::sleep(if failed == 0 { PAUSE } else { PAUSE_FAILED });
        }
    };
    Some(std::thread::Builder::new().name("models".into()).spawn(follow).expect("the system gives a thread"))
}
