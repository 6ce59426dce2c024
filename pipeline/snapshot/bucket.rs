//! A directory (`file://`), S3 (`s3://`), Google Cloud Storage (`gs://`) or Azure (`az://`).

use std::time::Duration;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use tokio::runtime::Runtime;
use url::Url;

use super::objects::{Objects, StoreError};

/// How long one call may take, all its attempts together.
const CALL_MAX: Duration = Duration::from_secs(60);

/// A folder of a store.
pub struct Bucket {
    url: String,
    store: Box<dyn ObjectStore>,
    root: Path,
    runtime: Runtime,
}

impl Bucket {
    /// Opens the folder at `url`. What a cloud needs to let us in comes from the environment, by the names its own tools
    /// use (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT`, `GOOGLE_SERVICE_ACCOUNT`, `AZURE_STORAGE_ACCOUNT_NAME`, …).
    ///
    /// # Errors
    /// Where the URL names no store.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        let failed = |problem: String| StoreError { action: "opening", object: url.into(), problem };
        let parsed =
            Url::parse(url).map_err(|error| failed(format!("{error}; write file:///folder or s3://bucket/folder")))?;
        if parsed.scheme() == "file" {
            let folder = parsed.to_file_path().map_err(|()| failed("no path of this machine".into()))?;
            std::fs::create_dir_all(folder).map_err(|error| failed(error.to_string()))?;
        }
        let environment = std::env::vars().map(|(name, value)| (name.to_ascii_lowercase(), value));
        let (store, root) =
            object_store::parse_url_opts(&parsed, environment).map_err(|error| failed(error.to_string()))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| failed(error.to_string()))?;
        Ok(Self { url: url.trim_end_matches('/').into(), store, root, runtime })
    }

    fn path(&self, name: &str) -> Path {
        name.split('/').fold(self.root.clone(), |path, part| path.join(part))
    }

    /// Waits for an answer; no object of that name is none.
    fn call<T>(
        &self,
        action: &'static str,
        name: &str,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<Option<T>, StoreError> {
        let failed = |problem| StoreError { action, object: format!("{}/{name}", self.url), problem };
        match self.runtime.block_on(async { tokio::time::timeout(CALL_MAX, answer).await }) {
            Ok(Ok(done)) => Ok(Some(done)),
            Ok(Err(Error::NotFound { .. } | Error::AlreadyExists { .. } | Error::Precondition { .. })) => Ok(None),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed(format!("no answer within {} s", CALL_MAX.as_secs()))),
        }
    }
}

impl Objects for Bucket {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(name);
        self.call("reading", name, async { Ok(self.store.get(&path).await?.bytes().await?.to_vec()) })
    }

    fn create(&self, name: &str, bytes: Vec<u8>) -> Result<bool, StoreError> {
        let path = self.path(name);
        let options = PutOptions::from(PutMode::Create);
        Ok(self.call("writing", name, self.store.put_opts(&path, bytes.into(), options))?.is_some())
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let path = self.path(folder);
        let found = self.call("listing", folder, self.store.list(Some(&path)).try_collect::<Vec<_>>())?;
        let names = found.unwrap_or_default().into_iter();
        let names = names.filter_map(|object| Some(format!("{folder}/{}", object.location.filename()?)));
        Ok(names.collect())
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.call("removing", name, self.store.delete(&self.path(name))).map(|_| ())
    }
}
