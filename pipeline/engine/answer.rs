//! What the page asks of one user, answered between two transactions: nothing is moved, nobody is brought back from disk.

use operators::{Fold, Whereabouts};
use schemas::output::{Emit, Output, Record};
use serde_json::Value;

use super::Engine;
use crate::inquiry::{About, Answer, Place, UserEvent, UserPicture, UserWindow};
use crate::metrics::Metrics;

/// Events of a history that are shown.
const EVENTS_MAX: usize = 500;
/// Open windows that are shown.
const WINDOWS_MAX: usize = 200;
/// Values of latest-value views that are shown: one with a further key has many.
const VALUES_MAX: usize = 200;
/// Users that are looked through, and named, where anyone will do.
const ANYONE: (usize, usize) = (256, 8);

impl Engine {
    /// Answers the questions about users of its own.
    pub(super) fn answer(&mut self) {
        let metrics = self.meter.all().clone();
        let has_users = self.fold.resident_users() > 0;
        let can_answer = |about: &About| match about {
            About::User { partition, .. } => self.tasks.contains_key(partition),
            About::Anyone => has_users,
        };
        for question in metrics.inquiries().take(can_answer) {
            let answer = match &question.about {
                About::User { user_id, partition } => match self.picture(*partition, user_id, &metrics) {
                    Ok(picture) => Answer::User(Box::new(picture)),
                    Err(error) => Answer::Failed(error.to_string()),
                },
                About::Anyone => Answer::Users(self.anyone()),
            };
            question.answer(answer);
        }
    }

    /// Those of some users who have most rows.
    fn anyone(&self) -> Vec<String> {
        let users = self.tasks.keys().flat_map(|&task| self.fold.users(task)).take(ANYONE.0);
        let mut users: Vec<(u64, &str)> = users.map(|user| (user.ordinal, user.user_id)).collect();
        users.sort_unstable_by(|a, b| b.cmp(a));
        users.into_iter().take(ANYONE.1).map(|(_, id)| id.to_owned()).collect()
    }

    fn picture(&mut self, task: i32, user_id: &str, metrics: &Metrics) -> Result<UserPicture, operators::FoldError> {
        let watermark_ms = self.fold.watermark(task).filter(|watermark| *watermark > i64::MIN && *watermark < i64::MAX);
        let place = self.fold.whereabouts(task, user_id)?;
        let mut picture = UserPicture {
            user_id: user_id.into(),
            partition: task,
            place: match place {
                Whereabouts::Memory(_) => Place::Memory,
                Whereabouts::Disk => Place::Disk,
                Whereabouts::Nowhere => Place::Nowhere,
            },
            rows: 0,
            watermark_ms,
            history: Vec::new(),
            history_older: 0,
            windows: Vec::new(),
            values: Vec::new(),
            forecast: None,
        };
        if let Whereabouts::Memory(user) = place {
            picture.rows = self.fold.user(user).map_or(0, |user| user.ordinal);
            (picture.history, picture.history_older) = history(&self.fold, user);
            picture.windows = windows(&self.fold, user);
            picture.forecast = self.encoders.forecast_of(&self.fold, task, user);
            let mut values = Values { metrics, values: Vec::new() };
            self.fold.newest_values(user, &mut values)?;
            picture.values = values.values;
        }
        Ok(picture)
    }
}

/// The newest events, and how many more are kept.
fn history(fold: &Fold, user: u32) -> (Vec<UserEvent>, usize) {
    let rows = fold.newest(user, usize::MAX);
    let older = rows.len().saturating_sub(EVENTS_MAX);
    let event = |slot| {
        let row = fold.row(slot);
        UserEvent {
            time_ms: row.time_ms,
            kind: row.kind.into(),
            item_id: row.item_id.map(String::from),
            other_id: row.other_id.map(String::from),
            role: row.role.map(String::from),
            value: row.value,
        }
    };
    (rows.skip(older).map(event).collect(), older)
}

fn windows(fold: &Fold, user: u32) -> Vec<UserWindow> {
    let window = |open: operators::OpenWindow<'_>| UserWindow {
        view: open.view.into(),
        window_start_ms: open.start_ms,
        window_end_ms: open.end_ms,
    };
    fold.open_windows(user).take(WINDOWS_MAX).map(window).collect()
}

/// Keeps the values of views; what else is said was said before.
struct Values<'a> {
    metrics: &'a Metrics,
    values: Vec<(String, Value)>,
}

impl Emit for Values<'_> {
    fn emit(&mut self, _: i32, record: Record<'_>) {
        let (Output::View(view), Some(value)) = (record.output, record.value) else { return };
        if self.values.len() < VALUES_MAX
            && let Ok(value) = serde_json::from_slice(value)
        {
            self.values.push((self.metrics.view(view).unwrap_or_default().into(), value));
        }
    }
}
