//! Idle users on the local disk (`state.dir`): an LSM store of the process, made when the first user goes there, gone with
//! the process. Nothing of it is ever read again by another: the truth is in the log and in snapshots.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use operators::{ColdError, ColdStore};
use tempfile::TempDir;

/// Bytes of a task's newest entries that are kept in memory before they are written.
const MEMTABLE_BYTES: u64 = 2 << 20;
/// Bytes of blocks that were read, kept in memory for all tasks.
const CACHE_BYTES: u64 = 32 << 20;
/// Files of the store that are open at once.
const FILES_MAX: usize = 64;
/// In a folder that is in use this file is locked.
const LOCK: &str = "in-use";

/// Where a process keeps idle users.
pub struct ColdFolder {
    dir: PathBuf,
    name: String,
    open: OnceLock<Result<Open, String>>,
}

struct Open {
    database: Database,
    _lock: File,
    // After the database: it is removed when that is closed.
    _folder: TempDir,
}

impl ColdFolder {
    /// A folder within `dir` for the process `name`; what ended processes of that name left there is removed.
    pub fn new(dir: &Path, name: String) -> Self {
        let folder = Self { dir: dir.to_owned(), name, open: OnceLock::new() };
        folder.sweep();
        folder
    }

    /// A store for one worker.
    pub fn store(self: &Arc<Self>) -> Box<dyn ColdStore> {
        Box::new(DiskStore { folder: Arc::clone(self), tasks: HashMap::new() })
    }

    /// Removes folders that nobody uses any more. What cannot be removed is in nobody's way.
    fn sweep(&self) {
        let Ok(entries) = std::fs::read_dir(&self.dir) else { return };
        let own = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with(&self.prefix());
        for entry in entries.flatten().filter(own) {
            let lock = File::open(entry.path().join(LOCK));
            if lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }

    fn prefix(&self) -> String {
        format!("{}-", self.name)
    }

    fn database(&self) -> Result<&Database, ColdError> {
        let open = self.open.get_or_init(|| {
            let failed = |what: &dyn std::fmt::Display| format!("{}: {what}", self.dir.display());
            std::fs::create_dir_all(&self.dir).map_err(|error| failed(&error))?;
            let folder = tempfile::Builder::new().prefix(&self.prefix()).tempdir_in(&self.dir);
            let folder = folder.map_err(|error| failed(&error))?;
            let lock = File::create(folder.path().join(LOCK)).map_err(|error| failed(&error))?;
            lock.lock().map_err(|error| failed(&error))?;
            let database = Database::builder(folder.path().join("users")).cache_size(CACHE_BYTES);
            let database = database.manual_journal_persist(true).worker_threads(1).max_cached_files(Some(FILES_MAX)).open();
            tracing::info!(folder = %folder.path().display(), "state is beyond state.memory_limit: idle users go to disk");
            Ok(Open { database: database.map_err(|error| failed(&error))?, _lock: lock, _folder: folder })
        });
        open.as_ref().map(|open| &open.database).map_err(|error| ColdError(error.clone()))
    }
}

/// The tasks of one worker.
struct DiskStore {
    folder: Arc<ColdFolder>,
    tasks: HashMap<i32, Entries>,
}

/// The entries of one task.
struct Entries {
    keyspace: Keyspace,
    /// Written since the last memtable was sealed.
    bytes: u64,
}

impl Entries {
    /// Counts what was written; a memtable that is full is sealed here, on the writer's thread. The store would do it by a
    /// message to its own thread for every write beyond the size: when those fill its mailbox, that thread waits for itself
    /// to empty it (fjall 3.1).
    fn wrote(&mut self, bytes: u64) -> Result<(), ColdError> {
        self.bytes += bytes;
        if self.bytes >= MEMTABLE_BYTES {
            self.bytes = 0;
            self.keyspace.rotate_memtable().map_err(failed)?;
        }
        Ok(())
    }
}

fn failed(error: fjall::Error) -> ColdError {
    ColdError(format!("{error}; is the disk full?"))
}

impl DiskStore {
    fn task(&mut self, task: i32) -> Result<&mut Entries, ColdError> {
        let place = match self.tasks.entry(task) {
            std::collections::hash_map::Entry::Occupied(place) => return Ok(place.into_mut()),
            std::collections::hash_map::Entry::Vacant(place) => place,
        };
        let options = || KeyspaceCreateOptions::default().max_memtable_size(u64::MAX);
        let keyspace = self.folder.database()?.keyspace(&format!("task-{task}"), options).map_err(failed)?;
        Ok(place.insert(Entries { keyspace, bytes: 0 }))
    }
}

impl ColdStore for DiskStore {
    fn put(&mut self, task: i32, entries: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), ColdError> {
        let mut batch = self.folder.database()?.batch();
        let own = self.task(task)?;
        let bytes: usize = entries.iter().map(|(key, value)| key.len() + value.len()).sum();
        entries.into_iter().for_each(|(key, value)| batch.insert(&own.keyspace, key, value));
        batch.commit().map_err(failed)?;
        own.wrote(bytes as u64)
    }

    fn get(&self, task: i32, key: &[u8]) -> Result<Option<Vec<u8>>, ColdError> {
        let Some(Entries { keyspace, .. }) = self.tasks.get(&task) else { return Ok(None) };
        Ok(keyspace.get(key).map_err(failed)?.map(|value| value.to_vec()))
    }

    fn keys(&self, task: i32, from: &[u8], to: &[u8], most: usize) -> Result<Vec<Vec<u8>>, ColdError> {
        let Some(Entries { keyspace, .. }) = self.tasks.get(&task) else { return Ok(Vec::new()) };
        let keys = keyspace.range(from..to).take(most).map(|entry| Ok(entry.key().map_err(failed)?.to_vec()));
        keys.collect()
    }

    fn remove(&mut self, task: i32, keys: Vec<Vec<u8>>) -> Result<(), ColdError> {
        let mut batch = self.folder.database()?.batch();
        let own = self.task(task)?;
        let bytes: usize = keys.iter().map(Vec::len).sum();
        keys.into_iter().for_each(|key| batch.remove(&own.keyspace, key));
        batch.commit().map_err(failed)?;
        own.wrote(bytes as u64)
    }

    fn clear(&mut self, task: i32) -> Result<(), ColdError> {
        match self.tasks.remove(&task) {
            Some(Entries { keyspace, .. }) => self.folder.database()?.delete_keyspace(keyspace).map_err(failed),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &str, value: &str) -> (Vec<u8>, Vec<u8>) {
        (key.into(), value.into())
    }

    #[test]
    fn entries_come_back_in_order_and_leave_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Arc::new(ColdFolder::new(dir.path(), "app.host".into()));
        let (mut one, mut other) = (folder.store(), folder.store());
        assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "nothing is made before it is needed");
        assert_eq!(one.get(3, b"a").unwrap(), None);
        one.put(3, vec![entry("b", "2"), entry("a", "1"), entry("c", "")]).unwrap();
        one.put(3, vec![entry("a", "3")]).unwrap();
        other.put(4, vec![entry("a", "other")]).unwrap();
        assert_eq!(one.get(3, b"a").unwrap().unwrap(), b"3");
        assert_eq!(one.keys(3, b"a", b"c", 9).unwrap(), [b"a", b"b"]);
        assert_eq!(one.keys(3, b"a", b"d", 1).unwrap(), [b"a"]);
        one.remove(3, vec![b"a".into(), b"z".into()]).unwrap();
        assert_eq!(one.keys(3, b"", b"z", 9).unwrap(), [b"b", b"c"]);
        one.clear(3).unwrap();
        assert_eq!(one.keys(3, b"", b"z", 9).unwrap().len(), 0);
        one.put(3, vec![entry("n", "new")]).unwrap();
        assert_eq!((one.keys(3, b"", b"z", 9).unwrap().len(), other.keys(4, b"", b"z", 9).unwrap().len()), (1, 1));
        drop((one, other, folder));
        assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "the folder goes with its process");
    }

    #[test]
    fn it_takes_more_than_its_memory_holds() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Arc::new(ColdFolder::new(dir.path(), "app.host".into()));
        let mut store = folder.store();
        let value = |n: u32| format!("{n} ").repeat(40 + n as usize % 100);
        // Some 150 MB in small writes, users again and again, as when there is room for few.
        for n in 0..400_000u32 {
            store.put((n % 4) as i32, vec![entry(&format!("u{}", n % 30_000), &value(n))]).unwrap();
        }
        for n in 370_000..400_000u32 {
            let found = store.get((n % 4) as i32, format!("u{}", n % 30_000).as_bytes()).unwrap();
            assert_eq!(found.unwrap(), value(n).into_bytes());
        }
        let database = folder.database().unwrap();
        assert!(database.write_buffer_size() < 16 * MEMTABLE_BYTES, "{} bytes wait", database.write_buffer_size());
    }

    #[test]
    fn only_what_ended_processes_left_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let left = dir.path().join("app.host-left");
        std::fs::create_dir(&left).unwrap();
        File::create(left.join(LOCK)).unwrap();
        std::fs::create_dir(dir.path().join("app.other-left")).unwrap();
        let folder = Arc::new(ColdFolder::new(dir.path(), "app.host".into()));
        folder.store().put(0, vec![entry("a", "1")]).unwrap();
        let count = || std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(count(), 2);
        drop(ColdFolder::new(dir.path(), "app.host".into()));
        assert_eq!(count(), 2, "one that is in use stays");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        File::create(&file).unwrap();
        let folder = Arc::new(ColdFolder::new(&file, "app.host".into()));
        let error = folder.store().put(0, vec![entry("a", "1")]).unwrap_err().to_string();
        assert!(error.contains("file") && error.contains("exist"), "{error}");
    }
}
