//! The local page: `/`, `/api/…`, `/metrics`, `/livez`, `/readyz`, on a small runtime of its own.
//!
//! # Layout
//! - [`assets`]: the page, which is in the binary: `page/index.html`, `page/dashboard.css`, `page/dashboard.js`.
//! - [`api`]: what it asks for, as JSON.
//! - [`token`]: who is let in.

mod api;
mod assets;
mod token;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use self::token::{Token, TokenError};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::metrics::history::{History, INTERVAL_MS};
use crate::metrics::reading::Reading;

/// The page cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address cannot be had.
    #[error("the local page cannot be served: {error}; http.listen={listen}; choose another address, or off")]
    Listen {
        /// The address.
        listen: String,
        /// Why.
        error: std::io::Error,
    },
    /// The token cannot be read.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// The running page; ends when it is dropped.
pub struct Http {
    /// Where it listens.
    pub address: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone)]
struct Page {
    metrics: Metrics,
    app: Arc<str>,
    instance: Arc<str>,
    /// Whether candidates are answered.
    answers: bool,
    started: Instant,
    history: Arc<Mutex<History>>,
    token: Option<Token>,
}

impl Page {
    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a sample a second, for ever; their times never go back, whatever is done to the wall clock.
    async fn sample(&self) {
        let began_ms = crate::metrics::now_ms();
        let mut ticks = tokio::time::interval(Duration::from_millis(INTERVAL_MS));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let time_ms = began_ms + self.started.elapsed().as_millis() as i64;
            let reading = Reading::parse(&self.metrics.text());
            self.history().take(time_ms, reading);
        }
    }
}

/// Serves the page of the settings; none where `http.listen` is off.
///
/// # Errors
/// Where the address cannot be had.
pub fn start(config: &Config, metrics: Metrics) -> Result<Option<Http>, HttpError> {
    let Some(listen) = config.http_listen() else { return Ok(None) };
    let token = config.http.token_file.as_deref().map(Token::read).transpose()?;
    let failed = |error| HttpError::Listen { listen: listen.into(), error };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let listener = runtime.block_on(TcpListener::bind(listen)).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let (app, instance) = (config.app.as_str().into(), config.instance.as_str().into());
    let (answers, started, history) = (config.candidates.enabled, Instant::now(), Arc::default());
    let page = Page { metrics, app, instance, answers, started, history, token };
    let (end, ended) = oneshot::channel::<()>();
    let serve = move || {
        let wait = async move {
            // Either word, or none because the other end is gone, means the end.
            let _ = ended.await;
        };
        let served = runtime.block_on(async {
            tokio::select! {
                served = axum::serve(listener, routes(page.clone())).into_future() => served,
                () = page.sample() => Ok(()),
                () = wait => Ok(()),
            }
        });
        if let Err(error) = served {
            tracing::error!(%error, "the local page has ended");
        }
    };
    let thread = std::thread::Builder::new().name("http".into()).spawn(serve).map_err(failed)?;
    tracing::info!(%address, "local page");
    Ok(Some(Http { address, end: Some(end), thread: Some(thread) }))
}

impl Drop for Http {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was told by its own message.
            let _ = thread.join();
        }
    }
}

fn routes(page: Page) -> Router {
    Router::new()
        .route("/api/overview", get(api::overview))
        .route("/api/learning", get(api::learning))
        .route("/api/answers", get(api::answers))
        .route("/api/users", get(api::users))
        .route("/api/users/{id}", get(api::user))
        .route("/metrics", get(metrics))
        .route_layer(from_fn_with_state(page.token.clone(), token::check))
        .route("/", get(assets::html))
        .route("/dashboard.css", get(assets::css))
        .route("/dashboard.js", get(assets::js))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(page)
}

async fn metrics(State(page): State<Page>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], page.metrics.text())
}

async fn ready(State(page): State<Page>) -> impl IntoResponse {
    if page.metrics.is_ready() { (StatusCode::OK, "ready\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n") }
}
