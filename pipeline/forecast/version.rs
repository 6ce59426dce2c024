//! A version of model `prompt_tpp`: its tensors, and what else an engine needs to know of it.

use serde::{Deserialize, Serialize};
use shaders::Device;
use shaders::prompt_tpp::{Config, Model as Network};

use super::vocabulary::Vocabulary;
use crate::learn::study::Progress;
use crate::model::Model;

/// What a manifest says of a version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// Names of types, from place 1 on; place 0 is all others.
    pub types: Vec<String>,
    /// Densities of gaps are per so many ms: the stream's median gap when it was first learned.
    pub unit_ms: f64,
    /// How far its learner had come.
    #[serde(flatten)]
    pub progress: Progress,
    /// Targets it has learned from.
    pub targets: u64,
    /// How often each prompt of each pool was chosen while learning, pool by pool.
    #[serde(default)]
    pub usage: Vec<u64>,
}

/// A version that can be asked.
#[derive(Debug)]
pub struct Version {
    /// Its number.
    pub number: u64,
    /// What its types are.
    pub vocabulary: Vocabulary,
    /// Densities of gaps are per so many ms.
    pub unit_ms: f64,
    /// The network.
    pub network: Network,
}

/// Why a version cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// The device failed.
    #[error(transparent)]
    Device(shaders::Error),
    /// It is not one of this network.
    #[error("model {model}, version {version}: {reason}; was it published by another version of this service?")]
    Misfit {
        /// The model.
        model: String,
        /// Its number.
        version: u64,
        /// What does not fit.
        reason: String,
    },
}

impl About {
    /// Of a model.
    ///
    /// # Errors
    /// Where the manifest says nothing of the kind.
    pub fn of(model: &Model) -> Result<Self, VersionError> {
        let wrong = |error: serde_json::Error| VersionError::Misfit {
            model: model.name.clone(),
            version: model.version,
            reason: error.to_string(),
        };
        serde_json::from_value(model.about.clone()).map_err(wrong)
    }
}

impl Version {
    /// The network of a model on `device`; what was made there for `spare`, a version that nobody needs any more, is used again
    /// where it fits.
    ///
    /// # Errors
    /// Where its tensors are not those of the network, or the device fails.
    pub fn build(device: &Device, model: &Model, spare: Option<Self>) -> Result<Self, VersionError> {
        let About { types, unit_ms, .. } = About::of(model)?;
        let vocabulary = Vocabulary::new(types);
        if let Some(mut spare) = spare
            && spare.vocabulary.places() == vocabulary.places()
            && spare.network.replace(model.tensors.clone()).is_ok_and(|replaced| replaced)
        {
            return Ok(Self { number: model.version, vocabulary, unit_ms, network: spare.network });
        }
        let network = Network::from_weights(device, Config::default(), model.tensors.clone(), 0);
        let wrong = |reason: String| VersionError::Misfit { model: model.name.clone(), version: model.version, reason };
        let network = network.map_err(|error| match error {
            lost if lost.is_device_lost() => VersionError::Device(lost),
            error => wrong(error.to_string()),
        })?;
        if network.config().types != vocabulary.places() {
            let (rows, names) = (network.config().types, vocabulary.places());
            return Err(wrong(format!("it has {rows} types and names for {names}")));
        }
        Ok(Self { number: model.version, vocabulary, unit_ms, network })
    }
}
