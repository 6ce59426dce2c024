//! Users' events of a stream as windows of a network.

use std::ops::Range;

use shaders::prompt_tpp::NEVER_MS;

use crate::evaluate::Past;
use crate::forecast::window::{WindowCut, Windows};

/// Adds the window after the newest event of `history`, for a forecast.
pub(super) fn add_forecast(windows: &mut Windows, cut: WindowCut, past: Past<'_>, history: &[u32]) {
    let events = &history[cut.first(history.len())..];
    add(windows, past, events, events.len(), NEVER_MS);
}

/// Adds a user's targets: his events of these ranks, of which `history` holds the last; in the window of the newest the gap
/// after it is open until `open_until_ms`.
pub(super) fn add_targets(
    windows: &mut Windows,
    cut: WindowCut,
    (past, history): (Past<'_>, &[u32]),
    ranks: Range<usize>,
    open_until_ms: i64,
) {
    let end = ranks.end;
    if ranks.start.max(1) >= end && open_until_ms != NEVER_MS {
        let first = cut.first(end);
        add(windows, past, &history[first..end], end - first, open_until_ms);
    }
    cut.windows(ranks, |events, first_target| {
        let open = if events.end == end { open_until_ms } else { NEVER_MS };
        add(windows, past, &history[events], first_target, open);
    });
}

fn add(windows: &mut Windows, past: Past<'_>, events: &[u32], first_target: usize, open_until_ms: i64) {
    let events = events.iter().map(|&position| past.event(position as usize));
    events.for_each(|event| windows.event(event.kind, event.time_ms));
    windows.end(first_target as u32, open_until_ms);
}
