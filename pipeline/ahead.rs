//! Reads versions of models as they are published, on a thread of its own: who comes to where one is in force finds it there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::encode::ItemSource;
use crate::roles::Rooms;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Begins to read ahead, until `stop`; none where no model has versions that somebody will need.
pub fn read_ahead(rooms: &Rooms, stop: Arc<AtomicBool>) -> Option<JoinHandle<()>> {
    let (mut scorers, mut forecasts) = (rooms.scorers.clone(), rooms.forecasts.clone());
    let mut items = match &rooms.items {
        ItemSource::Catalogue(catalogue) if catalogue.learns() => Some(Arc::clone(catalogue)),
        _ => None,
    };
    if scorers.is_empty() && forecasts.is_none() && items.is_none() {
        return None;
    }
    let follow = move || {
        while !stop.load(Ordering::Relaxed) {
            // What cannot be had is said by who needs it.
            scorers.retain(|versions| versions.read_ahead().is_ok());
            items = items.take().filter(|catalogue| catalogue.read_ahead().is_ok());
            forecasts = forecasts.take().filter(|shelf| shelf.look().is_ok());
            std::thread::sleep(PAUSE);
        }
    };
    Some(std::thread::Builder::new().name("models".into()).spawn(follow).expect("the system gives a thread"))
}
