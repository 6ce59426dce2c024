//! `muse.attention`: the form of MUSE's attention.

use serde::{Deserialize, Serialize};
use shaders::ranking::SaTa;

/// How attention over what was found is aware of how like the candidate it is (SA-TA).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Attention {
    /// As in the code that the authors released.
    #[default]
    Released,
    /// As the paper writes it.
    Paper,
}

impl Attention {
    /// What the setting calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Paper => "paper",
        }
    }
}

impl From<Attention> for SaTa {
    fn from(attention: Attention) -> Self {
        match attention {
            Attention::Released => Self::Released,
            Attention::Paper => Self::Paper,
        }
    }
}
