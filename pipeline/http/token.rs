//! The bearer token (RFC 6750) that requests have to show.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// The token; it is shown nowhere.
#[derive(Clone)]
pub(super) struct Token(Arc<str>);

/// The file does not hold a token.
#[derive(Debug, thiserror::Error)]
#[error("http.token_file={}: {problem}; it should hold one line, the token", path.display())]
pub struct TokenError {
    path: PathBuf,
    problem: String,
}

impl Token {
    /// Reads the token of a file, without the space around it.
    pub(super) fn read(path: &Path) -> Result<Self, TokenError> {
        let wrong = |problem: String| TokenError { path: path.into(), problem };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        let token = text.trim();
        // What stands in a header: RFC 6750, section 2.1.
        let is_fit = |c: char| c.is_ascii_graphic();
        match token {
            "" => Err(wrong("it is empty".into())),
            token if !token.chars().all(is_fit) => Err(wrong("the token has a space or a letter beyond ASCII".into())),
            token => Ok(Self(token.into())),
        }
    }

    /// Whether it is the one; takes the same time however much of it is right.
    fn is(&self, shown: &str) -> bool {
        let (own, shown) = (self.0.as_bytes(), shown.as_bytes());
        own.len() == shown.len() && own.iter().zip(shown).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
    }
}

/// Lets a request pass that shows the token, where there is one.
pub(super) async fn check(State(token): State<Option<Token>>, request: Request, next: Next) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.strip_prefix("Bearer "));
    match token {
        Some(token) if !shown.is_some_and(|shown| token.is(shown)) => {
            let asks = [(header::WWW_AUTHENTICATE, "Bearer")];
            (StatusCode::UNAUTHORIZED, asks, "the token of http.token_file is needed\n").into_response()
        }
        _ => next.run(request).await,
    }
}
