//! A consumer that is closed in bounded time.

use std::ops::Deref;
use std::sync::mpsc::channel;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, ConsumerContext};

/// How long a consumer may take to leave its group.
const CLOSE_MAX: Duration = Duration::from_secs(3);

/// A consumer whose drop does not wait for ever.
///
/// rdkafka polls a closing consumer until it is closed, without a limit, and answers a rebalance that arrives meanwhile
/// by asking a thread of librdkafka that has ended: that poll never returns.
pub(super) struct Closing<C: ConsumerContext + 'static>(Option<BaseConsumer<C>>);

impl<C: ConsumerContext + 'static> Closing<C> {
    pub(super) fn new(consumer: BaseConsumer<C>) -> Self {
        Self(Some(consumer))
    }
}

impl<C: ConsumerContext + 'static> Deref for Closing<C> {
    type Target = BaseConsumer<C>;

    fn deref(&self) -> &BaseConsumer<C> {
        self.0.as_ref().expect("only drop takes it")
    }
}

impl<C: ConsumerContext + 'static> Drop for Closing<C> {
    fn drop(&mut self) {
        let Some(consumer) = self.0.take() else { return };
        let (done, closed) = channel();
        let close = move || {
            drop(consumer);
            // Nobody listens any more where the time was over.
            let _ = done.send(());
        };
        let thread = std::thread::Builder::new().name("closing".into()).spawn(close);
        if thread.is_err() || closed.recv_timeout(CLOSE_MAX).is_err() {
            tracing::warn!("a consumer did not leave its group within {} s; left to itself", CLOSE_MAX.as_secs());
        }
    }
}
