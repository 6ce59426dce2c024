//! SIGINT and SIGTERM: the first asks for an orderly stop, the second ends the process at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The exit status of a stop cut short, as shells have it for SIGINT.
const CUT_SHORT: i32 = 130;

/// Sets `stop` at the first signal.
///
/// # Panics
/// Where the system has no thread or no signals to give, at start.
pub fn stop_on_signal(stop: Arc<AtomicBool>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a process that has just started may open a poller");
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        let open = |kind| signal(kind).expect("SIGINT and SIGTERM may be handled");
        (open(SignalKind::interrupt()), open(SignalKind::terminate()))
    };
    let wait = move || {
        runtime.block_on(async {
            either(&mut interrupt, &mut terminate).await;
            stop.store(true, Ordering::Relaxed);
            tracing::info!("stopping; a second signal ends at once");
            either(&mut interrupt, &mut terminate).await;
            std::process::exit(CUT_SHORT);
        });
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait).expect("a process may have a second thread");
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
