//! What a learner needs of a model, and what all versions say of themselves.

use schemas::output::Room;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shaders::ops::tensors::Named;

use super::LearnError;
use crate::forecast::version::VersionError;
use crate::model::Model;

/// What learns: the part of a learner that knows its model. What comes of it is to be a function of the records alone.
pub trait Study: Send {
    /// The room whose samples and versions these are.
    fn room(&self) -> Room;

    /// The version that is there before anything is learned; 0 where none is.
    fn version_before(&self) -> u64 {
        0
    }

    /// Begins where a version of its own left off (what [`Published::saved`] gave, with what its manifest says), or anew;
    /// whether a version is due at once (a model that was given to start from).
    ///
    /// # Errors
    /// Where the version is none of this model, or the device fails.
    fn begin(&mut self, saved: Option<&Model>) -> Result<bool, LearnError>;

    /// Learns from the value of a record of samples; `since_version_ms`: time between the last version's newest sample and
    /// this one, where both have one. Whether a version is due.
    ///
    /// # Errors
    /// [`LearnError::Unreadable`] where the record cannot be read: nothing was learned, it is passed over. Any other ends
    /// the learner.
    fn learn(&mut self, record: &[u8], since_version_ms: Option<i64>) -> Result<bool, LearnError>;

    /// The version that is due, asked for once.
    fn version(&mut self) -> Published;

    /// The version that was asked for last is in force, as this one.
    fn in_force(&mut self, _version: u64) {}
}

/// A version, as its study gives it.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// What it says of itself, a JSON object; the learner adds its [`Progress`].
    pub about: Value,
    /// What engines need.
    pub weights: Named,
    /// What a learner needs to go on to the same bits.
    pub saved: Named,
    /// Targets that it has learned from.
    pub targets: u64,
}

/// How far the learner of a version had come: a part of what every learned version's manifest says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The sample record up to which it has learned: the next one to be read.
    pub samples_offset: i64,
    /// The time of the last sample it has learned from, ms since 1970, where samples have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_ms: Option<i64>,
    /// Samples from before then, in ms since 1970, are passed over: the learner was too far behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_until_ms: Option<i64>,
}

impl Progress {
    /// Of a version.
    ///
    /// # Errors
    /// Where its manifest says nothing of the kind.
    pub fn of(model: &Model) -> Result<Self, VersionError> {
        Self::deserialize(&model.about).map_err(|error| VersionError::Misfit {
            model: model.name.clone(),
            version: model.version,
            reason: error.to_string(),
        })
    }

    /// Adds it to what a version says of itself.
    pub fn add_to(&self, about: &mut Value) {
        let Ok(Value::Object(said)) = serde_json::to_value(self) else { unreachable!("a struct becomes an object") };
        about.as_object_mut().expect("a version says an object of itself").extend(said);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn progress_stands_beside_what_else_a_version_says() {
        let progress = Progress { samples_offset: 7, time_ms: Some(5), skip_until_ms: None };
        let mut about = json!({"types": ["a"], "samples_offset": 0});
        progress.add_to(&mut about);
        assert_eq!(about, json!({"types": ["a"], "samples_offset": 7, "time_ms": 5}));
        let mut model = Model { name: "m".into(), version: 3, about, tensors: Named::new() };
        assert_eq!(Progress::of(&model).unwrap(), progress);
        model.about = json!({"types": ["a"]});
        let error = Progress::of(&model).unwrap_err().to_string();
        assert!(error.contains("model m, version 3") && error.contains("samples_offset"), "{error}");
    }
}
