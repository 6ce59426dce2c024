//! What the page asks for, as JSON: numbers are JSON numbers, units stand last in their names.

use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::Page;
use crate::inquiry::{InquiryError, Place};
use crate::metrics::reading::Reading;

fn answer(status: StatusCode, body: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, format!("{body}\n")).into_response()
}

fn refusal(status: StatusCode, sentence: &str) -> Response {
    answer(status, &json!({ "error": sentence }))
}

/// `GET /api/overview[?since_ms=T]`: the figures now, by stage and topic, and the samples after T.
pub(super) async fn overview(State(page): State<Page>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let since = query.split('&').find_map(|pair| pair.strip_prefix("since_ms="));
    let since_ms = match since.map_or(Ok(i64::MIN), str::parse) {
        Ok(since_ms) => since_ms,
        Err(_) => return refusal(StatusCode::BAD_REQUEST, "since_ms is a whole number of milliseconds since 1970"),
    };
    let history = page.history();
    let empty = Reading::default();
    let reading = history.last().unwrap_or(&empty);
    let totals = [
        ("records_in", "wellspring_records_in_total"),
        ("rows_folded", "wellspring_rows_folded_total"),
        ("dead_letters", "wellspring_dead_letters_total"),
        ("late_rows", "wellspring_late_total"),
        ("duplicates", "wellspring_duplicates_total"),
        ("errors", "wellspring_errors_total"),
        ("requests_answered", "wellspring_requests_answered_total"),
        ("candidates_answered", "wellspring_candidates_answered_total"),
        ("snapshots", "wellspring_snapshots_total"),
        ("snapshot_failures", "wellspring_snapshot_failures_total"),
    ];
    let totals: Map<String, Value> =
        totals.iter().map(|(name, figure)| ((*name).into(), json!(reading.total(figure)))).collect();
    let by_topic = |figure: &str, name: &str| -> Vec<Value> {
        let sums = reading.by(figure, "topic").into_iter();
        sums.map(|(topic, value)| json!({ "topic": topic, name: value })).collect()
    };
    answer(
        StatusCode::OK,
        &json!({
            "app": page.app,
            "instance": page.instance,
            "version": env!("CARGO_PKG_VERSION"),
            "ready": page.metrics.is_ready(),
            "answers": page.answers,
            "uptime_s": page.started.elapsed().as_secs(),
            "now": history.now(),
            "totals": totals,
            "stages": { "router": stage(reading, "router"), "engine": stage(reading, "engine"),
                        "learner": stage(reading, "learner") },
            "lag": by_topic("wellspring_lag", "lag_records"),
            "outputs": by_topic("wellspring_records_out_total", "records"),
            "history": history.columns(since_ms),
        }),
    )
}

/// The figures of a role since the start; null where this process has no such worker.
fn stage(reading: &Reading, role: &str) -> Value {
    let Some(records_in) = reading.of_role("wellspring_records_in_total", role) else { return Value::Null };
    let nothing = Reading::default();
    let quantile_ms = |figure: &str, quantile: f64| {
        reading.quantile_since(&nothing, figure, role, quantile).map(|seconds| seconds * 1000.0)
    };
    json!({
        "records_in": records_in,
        "dead_letters": reading.of_role("wellspring_dead_letters_total", role),
        "transactions": reading.of_role("wellspring_commit_seconds_count", role),
        "commit_p50_ms": quantile_ms("wellspring_commit_seconds", 0.5),
        "commit_p99_ms": quantile_ms("wellspring_commit_seconds", 0.99),
        "event_to_commit_p50_ms": quantile_ms("wellspring_event_to_commit_seconds", 0.5),
        "event_to_commit_p99_ms": quantile_ms("wellspring_event_to_commit_seconds", 0.99),
    })
}

/// `GET /api/learning`: how well forecasts do, the version in force, how the prompt pool is used.
pub(super) async fn learning(State(page): State<Page>) -> Response {
    answer(StatusCode::OK, &page.metrics.learning().json())
}

/// `GET /api/answers`: how each model's answers did on the feedback that came after them, beside the observed rate's.
pub(super) async fn answers(State(page): State<Page>) -> Response {
    let mut told = page.metrics.answers().json();
    told["enabled"] = page.answers.into();
    answer(StatusCode::OK, &told)
}

/// `GET /api/users`: ids of a few users in memory.
pub(super) async fn users(State(page): State<Page>) -> Response {
    match page.metrics.inquiries().anyone().await {
        Ok(users) => answer(StatusCode::OK, &json!({ "users": users })),
        Err(error) => refusal(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

/// `GET /api/users/<id>`: one user, as he stands between two transactions.
pub(super) async fn user(State(page): State<Page>, Path(user_id): Path<String>) -> Response {
    match page.metrics.inquiries().user(&user_id).await {
        Ok(picture) if picture.place == Place::Nowhere => refusal(
            StatusCode::NOT_FOUND,
            &format!(
                "nothing is kept of user {user_id}: no event of his has come to partition {}, or he is forgotten; ids are \
                 case-sensitive",
                picture.partition
            ),
        ),
        Ok(picture) => {
            let mut told = serde_json::to_value(&picture).expect("a picture becomes JSON");
            if picture.place == Place::Disk {
                let note = "he has been idle and lies on the local disk (`state.memory_limit`); looking at him does not \
                            bring him back: his next event does, or `wellspring inspect user` reads his snapshot";
                told["note"] = note.into();
            }
            answer(StatusCode::OK, &told)
        }
        Err(error @ InquiryError::Failed(_)) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        Err(error) => refusal(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}
