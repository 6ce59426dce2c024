//! What the page asks of the engine's workers: the state of a user lies with the one that owns his partition.
//!
//! A question is put on a small board; each worker looks at it between two transactions, which costs one atomic load where
//! nobody asks, and answers what it owns. Who asks waits for a bounded time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use schemas::partition::partition_of;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::oneshot;

/// Questions that wait at most.
const WAITING_MAX: usize = 16;
/// How long a question waits for its answer; a worker looks once in a commit interval.
const PATIENCE: Duration = Duration::from_secs(3);

/// A forecast of one user's next event, as the page draws it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UserForecast {
    /// The version of the model that made it.
    pub version: u64,
    /// Time of the event after which it was made, in ms since 1970.
    pub made_at_ms: i64,
    /// Expected time from there to the next event.
    pub expected_gap_ms: f64,
    /// The next event comes within this time with probability one half.
    pub median_gap_ms: f64,
    /// Gaps in ms, ascending, each with the probability that no event has come by then.
    pub survival: Vec<(f64, f64)>,
    /// Types with the probability that the next event is one, most likely first.
    pub types: Vec<(String, f64)>,
    /// −log likelihood of the event at `made_at_ms` under the forecast made before it.
    pub surprise_nats: Option<f64>,
}

/// An event of a user's history.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct UserEvent {
    pub time_ms: i64,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
}

/// A window that is open: rows may still enter it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct UserWindow {
    pub view: String,
    pub window_start_ms: i64,
    pub window_end_ms: i64,
}

/// Where a user is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In memory.
    Memory,
    /// On the local disk, idle; he is not brought back for being looked at.
    Disk,
    /// Nowhere.
    Nowhere,
}

/// What is known of one user between two transactions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UserPicture {
    /// His id.
    pub user_id: String,
    /// His by-user partition.
    pub partition: i32,
    /// Where he is kept; only of one in memory is the rest told.
    pub place: Place,
    /// Rows of his ever.
    pub rows: u64,
    /// The watermark of his partition, in ms since 1970; none before the first.
    pub watermark_ms: Option<i64>,
    /// His newest events, oldest first, and how many more are kept.
    pub history: Vec<UserEvent>,
    /// See [`Self::history`].
    pub history_older: usize,
    /// His open windows.
    pub windows: Vec<UserWindow>,
    /// The newest value of each latest-value view, by the view's name, as its topic has it.
    pub values: Vec<(String, Value)>,
    /// What he does next.
    pub forecast: Option<UserForecast>,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// A user, of this partition.
    User {
        /// His id.
        user_id: String,
        /// His by-user partition.
        partition: i32,
    },
    /// A few users whom it is worth looking at.
    Anyone,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The user that was asked for.
    User(Box<UserPicture>),
    /// Ids of a few users.
    Users(Vec<String>),
    /// The worker could not look: why.
    Failed(String),
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InquiryError {
    /// Too many ask at once.
    #[error("{WAITING_MAX} questions are waiting already; ask again in a few seconds")]
    Busy,
    /// No engine has started here.
    #[error(
        "this process has no engine that could be asked (yet); look at `roles` in its settings, or wait until it is ready"
    )]
    NoEngine,
    /// Nobody owned the partition, or its worker was busy.
    #[error(
        "no worker of this process has answered for partition {0} in {patience} s: it is another process's, is being restored, or \
         its worker is busy; ask the page of the process that owns it, or again later",
        patience = PATIENCE.as_secs()
    )]
    Silence(i32),
    /// The worker could not look.
    #[error("{0}")]
    Failed(String),
}

/// A question on the board.
pub struct Question {
    number: u64,
    /// What it is about.
    pub about: About,
    reply: oneshot::Sender<Answer>,
}

impl Question {
    /// Answers it; who asked may be gone.
    pub fn answer(self, answer: Answer) {
        // Nobody waits for it any more: then it is as good as told.
        let _ = self.reply.send(answer);
    }
}

/// The board; clones are the same board.
#[derive(Clone, Default)]
pub struct Inquiries(Arc<Board>);

#[derive(Default)]
struct Board {
    /// How many questions wait.
    waiting: AtomicUsize,
    questions: Mutex<(u64, Vec<Question>)>,
    /// N, once an engine is prepared.
    partitions: OnceLock<u32>,
}

impl Board {
    fn questions(&self) -> MutexGuard<'_, (u64, Vec<Question>)> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a question from the board when who asked stops waiting.
struct Waiting<'a>(&'a Board, u64);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut questions = self.0.questions();
        questions.1.retain(|question| question.number != self.1);
        self.0.waiting.store(questions.1.len(), Ordering::Relaxed);
    }
}

impl Inquiries {
    /// Users are divided among so many partitions; the first call counts.
    pub fn divide_by(&self, partitions: u32) {
        self.0.partitions.get_or_init(|| partitions);
    }

    /// Whether a question waits.
    #[inline]
    pub fn are_waiting(&self) -> bool {
        self.0.waiting.load(Ordering::Relaxed) > 0
    }

    /// Takes the questions that a worker can answer.
    pub fn take(&self, can_answer: impl Fn(&About) -> bool) -> Vec<Question> {
        let mut questions = self.0.questions();
        let taken: Vec<Question> = questions.1.extract_if(.., |question| can_answer(&question.about)).collect();
        self.0.waiting.store(questions.1.len(), Ordering::Relaxed);
        taken
    }

    /// What is known of a user.
    ///
    /// # Errors
    /// Where nobody can tell, with what to do.
    pub async fn user(&self, user_id: &str) -> Result<UserPicture, InquiryError> {
        let partitions = *self.0.partitions.get().ok_or(InquiryError::NoEngine)?;
        let partition = partition_of(user_id.as_bytes(), partitions);
        match self.ask(About::User { user_id: user_id.into(), partition }).await? {
            Some(Answer::User(picture)) => Ok(*picture),
            Some(Answer::Failed(why)) => Err(InquiryError::Failed(why)),
            _ => Err(InquiryError::Silence(partition)),
        }
    }

    /// Ids of a few users in memory; none where no worker has any.
    ///
    /// # Errors
    /// Where nobody can tell, with what to do.
    pub async fn anyone(&self) -> Result<Vec<String>, InquiryError> {
        self.0.partitions.get().ok_or(InquiryError::NoEngine)?;
        match self.ask(About::Anyone).await? {
            Some(Answer::Users(users)) => Ok(users),
            _ => Ok(Vec::new()),
        }
    }

    async fn ask(&self, about: About) -> Result<Option<Answer>, InquiryError> {
        let (reply, answer) = oneshot::channel();
        let number = {
            let mut questions = self.0.questions();
            if questions.1.len() == WAITING_MAX {
                return Err(InquiryError::Busy);
            }
            questions.0 += 1;
            let number = questions.0;
            questions.1.push(Question { number, about, reply });
            self.0.waiting.store(questions.1.len(), Ordering::Relaxed);
            number
        };
        let _waiting = Waiting(&self.0, number);
        Ok(tokio::time::timeout(PATIENCE, answer).await.ok().and_then(Result::ok))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(future)
    }

    #[test]
    fn who_owns_the_partition_answers() {
        let inquiries = Inquiries::default();
        assert_eq!(block_on(inquiries.user("u1")), Err(InquiryError::NoEngine));
        inquiries.divide_by(4);
        let own = partition_of(b"u1", 4);
        let worker = {
            let inquiries = inquiries.clone();
            std::thread::spawn(move || {
                while !inquiries.are_waiting() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                assert!(inquiries.take(|_| false).is_empty() && inquiries.are_waiting(), "what is others' stays");
                let is_own = |about: &About| matches!(about, About::User { partition, .. } if *partition == own);
                let mut questions = inquiries.take(is_own);
                assert_eq!(questions.len(), 1);
                questions.remove(0).answer(Answer::Failed("the disk is gone".into()));
            })
        };
        assert_eq!(block_on(inquiries.user("u1")), Err(InquiryError::Failed("the disk is gone".into())));
        worker.join().unwrap();
        assert!(!inquiries.are_waiting());
    }

    #[test]
    fn the_board_is_bounded_and_cleared_by_who_stops_waiting() {
        let inquiries = Inquiries::default();
        inquiries.divide_by(4);
        block_on(async {
            let mut asking: Vec<_> = (0..WAITING_MAX).map(|_| Box::pin(inquiries.user("u1"))).collect();
            for asking in &mut asking {
                assert!(futures::poll!(asking).is_pending());
            }
            assert_eq!(inquiries.user("u2").await, Err(InquiryError::Busy));
            asking.pop();
            assert_eq!(inquiries.0.questions().1.len(), WAITING_MAX - 1);
            drop(asking);
            assert!(!inquiries.are_waiting());
            let started = std::time::Instant::now();
            assert_eq!(inquiries.user("u1").await, Err(InquiryError::Silence(partition_of(b"u1", 4))));
            assert!(started.elapsed() >= PATIENCE && !inquiries.are_waiting());
        });
    }
}
