//! Lines on standard error.

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogSettings};

/// Writes the logs of this process as the settings say; the first call counts.
pub fn start(settings: &LogSettings) {
    let filter = EnvFilter::new(&settings.level);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second subscriber is refused: the first one stays.
    let _ = match settings.format {
        LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
}
