//! Snapshots: bookmarks in the log. State is a function of `by-user`; a snapshot saves reading it from its beginning.
//!
//! ```text
//! <state.snapshots>/<app>/<partition>/<offset>.json                 a manifest: everything up to <offset> is folded
//!                                     <offset>-<n>-<checksum>.arrow a part: users that changed, Arrow IPC, zstd
//! ```
//! A manifest names the parts that make its state, the newest last: of each user the last one counts. It is written after
//! them and never over another, so whoever writes late, a process that was taken for dead included, changes nothing. Each
//! tenth snapshot merges the parts into one full copy, and so does one that forgets a user.
//!
//! # Layout
//! - [`objects`]: the store, as little of it as is needed. [`bucket`]: directories, S3, Google, Azure.
//! - [`manifest`], [`part`]: what is written. [`archive`]: the snapshots of an app: reading, writing, merging, removing.
//! - [`restore`]: from the newest one that can be read to a task's state.
//! - [`scheduler`]: when a worker writes which task's. [`desk`]: the thread that writes.

pub mod archive;
pub mod bucket;
pub mod desk;
pub mod manifest;
mod merge;
pub mod objects;
pub mod part;
pub mod restore;
pub mod scheduler;

use objects::StoreError;

/// Why a snapshot cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An object is not what was written.
    #[error("{object}: {problem}")]
    Damaged {
        /// The object's name.
        object: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An object that a manifest names is not there.
    #[error("{0} is named by a manifest and not there")]
    Missing(String),
    /// The snapshot is another application's, or of a topic that was made anew.
    #[error("{object} is of {is}, this is {should}: set `state.snapshots` to another folder, or `app` to another name")]
    Foreign {
        /// The manifest.
        object: String,
        /// What it says.
        is: String,
        /// What it should say.
        should: String,
    },
    /// The log could not be trimmed.
    #[error("trimming the log: {0}")]
    Trim(#[from] crate::log::LogError),
    /// The state does not fit the settings.
    #[error(transparent)]
    Fold(#[from] operators::FoldError),
}
