//! `replay`: files to Kafka as JSON records.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Failure, Settings, broker};
use crate::log::LogError;
use crate::log::kafka::KafkaFeed;
use crate::source::{Input, Merge, peek};

/// Records between two looks at the clock, where nothing holds them back.
const LOOK_EVERY: u64 = 256;
/// The longest sleep: a signal is heard in this time.
const NAP: Duration = Duration::from_millis(50);

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// What is sent where: a file or a SELECT over files
    #[arg(long = "input", value_name = "TOPIC=SOURCE", required = true)]
    inputs: Vec<String>,
    /// Records a second, at most
    #[arg(long, value_name = "N", conflicts_with = "speed", value_parser = positive)]
    rate: Option<f64>,
    /// Times as fast as the events happened (1: in their own time)
    #[arg(long, value_name = "X", value_parser = positive)]
    speed: Option<f64>,
    #[command(flatten)]
    settings: Settings,
}

/// A number above 0.
pub(crate) fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "a number above 0 is wanted".into())
}

/// Takes records for topics, as any producer does.
pub trait Feed {
    /// Sends a record; waits while the send buffer is full.
    ///
    /// # Errors
    /// Where this record or an earlier one is refused.
    fn send(&mut self, topic: &str, key: Option<&[u8]>, value: &[u8]) -> Result<(), LogError>;
    /// Waits until all records have been acknowledged.
    ///
    /// # Errors
    /// Where one is refused.
    fn flush(&mut self) -> Result<(), LogError>;
}

impl Feed for KafkaFeed {
    fn send(&mut self, topic: &str, key: Option<&[u8]>, value: &[u8]) -> Result<(), LogError> {
        Self::send(self, topic, None, key, Some(value))
    }

    fn flush(&mut self) -> Result<(), LogError> {
        Self::flush(self)
    }
}

/// How fast records go.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// As fast as they are taken.
    Free,
    /// So many a second.
    Rate(f64),
    /// So many times as fast as the events happened.
    Speed(f64),
}

impl Replay {
    /// Sends all records; prints how many in which time.
    ///
    /// # Errors
    /// Where something is wrong with the arguments, or fails.
    pub fn run(self, stop: &Arc<AtomicBool>) -> Result<(), Failure> {
        let inputs = Input::parse_all(&self.inputs)?;
        let config = self.settings.load()?;
        let mut merge = Merge::open(&inputs)?;
        let mut feed = KafkaFeed::open(&broker(&config))?;
        let pace = match (self.rate, self.speed) {
            (Some(rate), _) => Pace::Rate(rate),
            (_, Some(speed)) => Pace::Speed(speed),
            _ => Pace::Free,
        };
        let bar = bar(&merge);
        let started = Instant::now();
        let sent = send_all(&mut merge, &mut feed, &config.topics.prefix, pace, stop, &bar)?;
        bar.finish_and_clear();
        let seconds = started.elapsed().as_secs_f64();
        println!("{}", serde_json::json!({ "records": sent, "seconds": seconds }));
        Ok(())
    }
}

/// A bar on standard error where that is a terminal, over the bytes of the files.
fn bar(merge: &Merge) -> ProgressBar {
    let Some(total) = merge.progress().1 else { return ProgressBar::new_spinner() };
    let style = ProgressStyle::with_template("{bar:40} {percent:>3} %  {elapsed} {msg}");
    ProgressBar::new(total).with_style(style.expect("the template is well-formed"))
}

/// Sends the records of `merge` until its end or `stop`; gives how many were acknowledged.
///
/// # Errors
/// Where a source fails or a record is refused.
pub fn send_all(
    merge: &mut Merge,
    feed: &mut dyn Feed,
    prefix: &str,
    pace: Pace,
    stop: &AtomicBool,
    bar: &ProgressBar,
) -> Result<u64, Failure> {
    let (started, mut sent, mut first_ms) = (Instant::now(), 0_u64, None);
    while let Some(record) = merge.next()? {
        let due = match pace {
            Pace::Free => None,
            Pace::Rate(rate) => Some(sent as f64 / rate),
            Pace::Speed(speed) => peek::time_ms(record.value).map(|time| {
                let first = *first_ms.get_or_insert(time);
                time.saturating_sub(first) as f64 / 1000.0 / speed
            }),
        };
        if !wait(started, due, stop) {
            break;
        }
        let key = peek::key(record.topic, record.value);
        feed.send(&format!("{prefix}{}", record.topic.name()), key.as_deref(), record.value)?;
        sent += 1;
        if sent.is_multiple_of(LOOK_EVERY) {
            bar.set_position(merge.progress().0);
            bar.set_message(format!("{sent} records"));
        }
    }
    feed.flush()?;
    Ok(sent)
}

/// Waits until `due` seconds after `started`; false where it is to stop.
fn wait(started: Instant, due: Option<f64>, stop: &AtomicBool) -> bool {
    let due = due.and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok()).unwrap_or_default();
    while !stop.load(Ordering::Relaxed) {
        let left = due.saturating_sub(started.elapsed());
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(NAP));
    }
    false
}
