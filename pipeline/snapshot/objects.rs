//! An object store, as little of it as snapshots need.

/// Why a store did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[error("object store: {action} {object}: {problem}")]
pub struct StoreError {
    /// What was being done.
    pub action: &'static str,
    /// The object's or folder's name.
    pub object: String,
    /// What the store said.
    pub problem: String,
}

/// Named immutable objects; names have `/` between folders.
pub trait Objects: Send + Sync {
    /// The bytes of an object; none where there is none of that name.
    ///
    /// # Errors
    /// Where the store fails.
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// Writes an object unless there is one of that name; returns whether it did. Readers see all of it or nothing.
    ///
    /// # Errors
    /// Where the store fails.
    fn create(&self, name: &str, bytes: Vec<u8>) -> Result<bool, StoreError>;
    /// Names of all objects in a folder, in any order.
    ///
    /// # Errors
    /// Where the store fails.
    fn list(&self, folder: &str) -> Result<Vec<String>, StoreError>;
    /// Removes an object; one that is not there is removed already.
    ///
    /// # Errors
    /// Where the store fails.
    fn remove(&self, name: &str) -> Result<(), StoreError>;
}
