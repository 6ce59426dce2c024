//! Quantized vectors, a row each: in memory, and beyond a limit in a file.
//!
//! The file has no name: it is gone with its process, however that ends. It is read row by row where it is asked for, and what is
//! asked for often stays in the system's page cache, whose memory is given back where others need it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Rows that memory is asked for at once.
const CHUNK_ROWS: usize = 1024;

/// Bytes of vectors in memory that a process may have, of all versions together, and where the others go.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    dir: PathBuf,
    taken: AtomicU64,
    spilled: AtomicU64,
}

impl Budget {
    /// At most `limit` bytes in memory; the others in files in `dir`.
    pub fn new(limit: u64, dir: PathBuf) -> Self {
        Self { limit, dir, taken: AtomicU64::new(0), spilled: AtomicU64::new(0) }
    }

    /// Bytes in files.
    pub fn spilled(&self) -> u64 {
        self.spilled.load(Ordering::Relaxed)
    }

    /// Whether there is memory for so many bytes more; then they are taken.
    fn take(&self, bytes: u64) -> bool {
        let more = |taken: u64| Some(taken + bytes).filter(|taken| *taken <= self.limit);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }
}

/// Vectors of length `dim`, numbered from 0.
#[derive(Debug)]
pub struct Vectors {
    dim: usize,
    budget: Arc<Budget>,
    /// The first rows, so many in each chunk but the last.
    chunks: Vec<Vec<i16>>,
    in_memory: usize,
    len: usize,
    /// The rows after those, each where it stood if all were there: of those before it the file has holes.
    file: Option<File>,
}

impl Vectors {
    /// No rows yet.
    pub fn new(dim: usize, budget: Arc<Budget>) -> Self {
        Self { dim, budget, chunks: Vec::new(), in_memory: 0, len: 0, file: None }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The length of a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    fn row_bytes(&self) -> u64 {
        (self.dim * size_of::<i16>()) as u64
    }

    /// Appends vectors (rows, dim).
    ///
    /// # Errors
    /// Where the file cannot be written; the rows before it are there.
    pub fn push(&mut self, vectors: &[i16]) -> io::Result<()> {
        let mut rest = vectors;
        while self.file.is_none() && !rest.is_empty() && self.budget.take(self.row_bytes()) {
            let (row, after) = rest.split_at(self.dim);
            self.push_in_memory(row);
            (rest, self.len) = (after, self.len + 1);
        }
        if rest.is_empty() {
            return Ok(());
        }
        if self.file.is_none() {
            let dir = &self.budget.dir;
            std::fs::create_dir_all(dir)?;
            self.file = Some(tempfile::tempfile_in(dir)?);
            tracing::info!(dir = %dir.display(), "vectors are beyond items.memory_limit: those that come now go to a file");
        }
        let file = self.file.as_ref().expect("it was just made");
        file.write_all_at(bytemuck::cast_slice(rest), self.len as u64 * self.row_bytes())?;
        self.len += rest.len() / self.dim;
        self.budget.spilled.fetch_add(size_of_val(rest) as u64, Ordering::Relaxed);
        Ok(())
    }

    fn push_in_memory(&mut self, row: &[i16]) {
        if self.in_memory.is_multiple_of(CHUNK_ROWS) {
            self.chunks.push(Vec::with_capacity(CHUNK_ROWS * self.dim));
        }
        self.chunks.last_mut().expect("one was just made").extend_from_slice(row);
        self.in_memory += 1;
    }

    /// Appends the vectors of `rows`, in their order, to `out`.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn gather(&self, rows: &[u32], out: &mut Vec<i16>) -> io::Result<()> {
        out.reserve(rows.len() * self.dim);
        for row in rows.iter().map(|&row| row as usize) {
            if row < self.in_memory {
                let chunk = &self.chunks[row / CHUNK_ROWS];
                out.extend_from_slice(&chunk[row % CHUNK_ROWS * self.dim..][..self.dim]);
            } else {
                let start = out.len();
                out.resize(start + self.dim, 0);
                self.read(row, &mut out[start..])?;
            }
        }
        Ok(())
    }

    /// Reads rows from the file, as many as fit `out`.
    fn read(&self, row: usize, out: &mut [i16]) -> io::Result<()> {
        let file = self.file.as_ref().expect("a row is in memory or in the file");
        file.read_exact_at(bytemuck::cast_slice_mut(out), row as u64 * self.row_bytes())
    }

    /// Brings rows back from the file where there is memory again, some at a time; whether there may be more.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn recall(&mut self) -> io::Result<bool> {
        let mut row = vec![0; self.dim];
        for _ in 0..CHUNK_ROWS {
            if self.in_memory == self.len {
                self.file = None;
                return Ok(false);
            }
            if !self.budget.take(self.row_bytes()) {
                return Ok(false);
            }
            self.read(self.in_memory, &mut row)?;
            self.push_in_memory(&row);
            self.budget.spilled.fetch_sub(self.row_bytes(), Ordering::Relaxed);
        }
        Ok(true)
    }
}

impl Drop for Vectors {
    fn drop(&mut self) {
        self.budget.taken.fetch_sub(self.in_memory as u64 * self.row_bytes(), Ordering::Relaxed);
        self.budget.spilled.fetch_sub((self.len - self.in_memory) as u64 * self.row_bytes(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_the_same_wherever_they_are_and_memory_is_given_back() {
        const DIM: usize = 3;
        let dir = tempfile::tempdir().unwrap();
        let all: Vec<i16> = (0..3000 * DIM).map(|n| (n * 7919 % 60_013) as i16).collect();
        let rows: Vec<u32> = (0..3000).rev().chain([5, 5, 2999, 0]).collect();
        let want: Vec<i16> = rows.iter().flat_map(|&row| all[row as usize * DIM..][..DIM].iter().copied()).collect();
        let budget = |rows: u64| Arc::new(Budget::new(rows * 6, dir.path().into()));
        for limit in [0, 1, 1023, 1024, 1500, 3000, 5000] {
            let budget = budget(limit);
            let mut vectors = Vectors::new(DIM, Arc::clone(&budget));
            all.chunks(DIM * 700).for_each(|part| vectors.push(part).unwrap());
            assert_eq!((vectors.len() as u64, budget.spilled()), (3000, 6 * 3000_u64.saturating_sub(limit)));
            let mut got = vec![];
            vectors.gather(&rows, &mut got).unwrap();
            assert!(got == want, "{limit} in memory");
            drop(vectors);
            assert_eq!((budget.spilled(), budget.taken.load(Ordering::Relaxed)), (0, 0));
        }
        let budget = budget(2500);
        let [mut old, mut new] = [(); 2].map(|()| Vectors::new(DIM, Arc::clone(&budget)));
        old.push(&all[..2000 * DIM]).unwrap();
        new.push(&all).unwrap();
        assert_eq!(budget.spilled(), 2500 * 6);
        drop(old);
        while new.recall().unwrap() {}
        assert_eq!(budget.spilled(), 500 * 6, "there was room for all but these");
        let mut got = Vec::new();
        new.gather(&rows, &mut got).unwrap();
        assert!(got == want);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "files have no names");
    }
}
