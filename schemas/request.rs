//! What is asked of single users, in the order of their rows: candidates to score, feedback to take, users to forget.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Something that a packed record asks for after its rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// The user of this id is to be forgotten.
    Forget(String),
    /// Candidates are to be scored.
    Candidates(Candidates),
    /// A user was shown an item, and took it or not.
    Feedback(Feedback),
}

/// Items that a user may be shown; a record of topic `candidates`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Candidates {
    /// The request's name, in its answer and its feedback.
    pub request_id: String,
    /// The user.
    pub user_id: String,
    /// When it was asked, ms since 1970.
    pub time: i64,
    /// The items.
    pub item_ids: Vec<String>,
    /// Finite numbers by name, one for each item; none where it is not known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub features: BTreeMap<String, Vec<Option<f32>>>,
    /// When its record was appended to the topic, ms since 1970, where the log says so: how long the answer takes is measured
    /// from there, and nothing else depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appended_ms: Option<i64>,
}

/// What a user did with an item that he was shown; a record of topic `feedback`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Feedback {
    /// The user.
    pub user_id: String,
    /// When it was, ms since 1970.
    pub time: i64,
    /// The item; none where it is the whole request's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_id: Option<String>,
    /// The request that the item was a candidate of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Whether he took it.
    pub label: bool,
}

impl Request {
    /// The user of whom it is asked.
    pub fn user_id(&self) -> &str {
        match self {
            Self::Forget(user_id) => user_id,
            Self::Candidates(candidates) => &candidates.user_id,
            Self::Feedback(feedback) => &feedback.user_id,
        }
    }

    /// Bytes that it takes on the wire, about.
    pub fn bytes(&self) -> usize {
        let texts = |texts: &[String]| texts.iter().map(|text| text.len() + 3).sum::<usize>();
        128 + match self {
            Self::Forget(user_id) => user_id.len(),
            Self::Candidates(Candidates { request_id, user_id, item_ids, features, .. }) => {
                let numbers: usize = features.values().map(Vec::len).sum();
                request_id.len() + user_id.len() + texts(item_ids) + 12 * numbers
            }
            Self::Feedback(Feedback { user_id, item_id, request_id, .. }) => {
                let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
                user_id.len() + length(item_id) + length(request_id)
            }
        }
    }
}
