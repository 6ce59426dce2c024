//! A value as one of the service's own records ([`schemas::packed`]): by postcard, under its kind and a checksum.

use schemas::packed::{self, PackedError};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SealedError {
    /// It is none of its kind, or not what was written.
    #[error(transparent)]
    Packed(#[from] PackedError),
    /// It is of another version.
    #[error(transparent)]
    Encoding(#[from] postcard::Error),
}

/// Appends the record of a value to `out`.
pub fn write(kind: u8, value: &impl Serialize, out: &mut Vec<u8>) {
    let start = out.len();
    packed::begin(kind, out);
    *out = postcard::to_extend(value, std::mem::take(out)).expect("plain data becomes bytes");
    packed::seal(&mut out[start..]).expect("a record is longer than its checksum");
}

/// Reads the value of a record; that its parts fit together is for the caller to see.
///
/// # Errors
/// Where the bytes are none; nothing in them makes this panic.
pub fn read<T: DeserializeOwned>(kind: u8, bytes: &[u8]) -> Result<T, SealedError> {
    Ok(postcard::from_bytes(packed::unseal(bytes, kind)?)?)
}
