//! A progress bar over a feed, on standard error where that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

use super::{Append, Feed, RunError};

/// Records between two looks at the bar.
const RECORDS: u64 = 512;

/// A feed whose records are counted on a bar.
pub struct Watched<F> {
    feed: F,
    bar: ProgressBar,
}

impl<F: Feed> Watched<F> {
    /// `records` is how many there will be, where that is known.
    pub fn new(feed: F, records: Option<u64>) -> Self {
        let bar = records.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        let template = match records {
            Some(_) => "{elapsed_precise} {wide_bar} {human_pos}/{human_len} records, {per_sec}, {eta} left",
            None => "{elapsed_precise} {spinner} {human_pos} records, {per_sec}",
        };
        let style = ProgressStyle::with_template(template).expect("the template is well-formed");
        Self { feed, bar: bar.with_style(style) }
    }
}

impl<F: Feed> Feed for Watched<F> {
    fn partitions(&self, topic: &str) -> i32 {
        self.feed.partitions(topic)
    }

    fn feed(&mut self, append: &mut Append<'_>) -> Result<(), RunError> {
        let (bar, mut records) = (&self.bar, 0);
        let fed = self.feed.feed(&mut |topic, partition, value| {
            records += 1;
            if records % RECORDS == 0 {
                bar.inc(RECORDS);
            }
            append(topic, partition, value)
        });
        bar.inc(records % RECORDS);
        bar.finish_and_clear();
        fed
    }
}
