//! The local page: `/`, `/metrics`, `/livez`, `/readyz`, on a small runtime of its own.
//!
//! # Layout
//! - [`token`]: who is let in.

mod token;

use std::net::SocketAddr;
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use self::token::{Token, TokenError};
use crate::config::Config;
use crate::metrics::Metrics;

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
    name: String,
    token: Option<Token>,
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
    let page = Page { metrics, name: format!("{} on {}", config.app, config.instance), token };
    let (end, ended) = oneshot::channel::<()>();
    let serve = move || {
        let wait = async move {
            // Either word, or none because the other end is gone, means the end.
            let _ = ended.await;
        };
        let served = runtime.block_on(async {
            tokio::select! {
                served = axum::serve(listener, routes(page)).into_future() => served,
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
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route_layer(from_fn_with_state(page.token.clone(), token::check))
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

async fn index(State(page): State<Page>) -> Html<String> {
    let state = if page.metrics.is_ready() { "ready" } else { "not ready" };
    Html(format!(
        "<!doctype html><meta charset=utf-8><title>Wellspring</title>\n\
         <h1>Wellspring {version}</h1>\n<p>{name}: {state}</p>\n<ul>\n\
         <li><a href=/metrics>/metrics</a>: figures for Prometheus\n\
         <li><a href=/livez>/livez</a>: 200 while the process runs\n\
         <li><a href=/readyz>/readyz</a>: 200 while its workers run, else 503\n</ul>\n",
        version = env!("CARGO_PKG_VERSION"),
        // Names of apps and instances are letters, digits and ._- by the settings' own check.
        name = page.name,
    ))
}
