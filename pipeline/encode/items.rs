//! The items of one version of the catalogue.

use std::io;
use std::sync::Arc;

use super::vectors::{Budget, Vectors};
use crate::names::Names;

/// An item without a vector.
const NONE: u32 = u32::MAX;

/// An item as its topic describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    /// Its id.
    pub id: Box<str>,
    /// The version of the content model that made its vector.
    pub version: u64,
    /// Its category; empty where it has none.
    pub category: Box<str>,
    /// Its vector, where it has one.
    pub vector: Option<Vec<f32>>,
}

/// What is known of an item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Item<'a> {
    /// The row of its vector, where it has one.
    pub row: Option<u32>,
    /// Its category; empty where it has none.
    pub category: &'a str,
}

/// Items by id: what they are, and their vectors in one space.
#[derive(Debug)]
pub struct Items {
    /// The version of what made their vectors.
    pub version: u64,
    ids: Names,
    /// By item, the row of its vector, or [`NONE`].
    rows: Vec<u32>,
    /// By item, the place of its category's name.
    categories: Vec<u32>,
    names: Names,
    vectors: Vectors,
    /// By hash, then by row: words of the vector's signature.
    signatures: Vec<Vec<u64>>,
}

/// Vectors of some rows, side by side, with their signatures by one of the hashes.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    dim: usize,
    words: usize,
    vectors: Vec<i16>,
    signatures: Vec<u64>,
}

impl Gathered {
    /// The `at`-th vector, scale 2^-14.
    pub fn vector(&self, at: u32) -> &[i16] {
        &self.vectors[at as usize * self.dim..][..self.dim]
    }

    /// The `at`-th signature; nothing where no hash was asked for.
    pub fn signature(&self, at: u32) -> &[u64] {
        &self.signatures[at as usize * self.words..][..self.words]
    }

    /// All vectors (rows, dim), scale 2^-14.
    pub fn all(&self) -> &[i16] {
        &self.vectors
    }

    /// All vectors, one by one, scale 2^-14.
    pub fn vectors(&self) -> impl Iterator<Item = &[i16]> {
        self.vectors.chunks_exact(self.dim.max(1))
    }

    /// All signatures.
    pub fn signatures(&self) -> &[u64] {
        &self.signatures
    }
}

impl Items {
    /// No items yet, of vectors of length `dim` that have signatures by so many hashes.
    pub fn new(dim: usize, hashes: usize, budget: Arc<Budget>) -> Self {
        let mut names = Names::default();
        names.add("");
        Self {
            version: 0,
            ids: Names::default(),
            rows: Vec::new(),
            categories: Vec::new(),
            names,
            vectors: Vectors::new(dim, budget),
            signatures: vec![Vec::new(); hashes],
        }
    }

    /// The same, of another version.
    pub fn of_version(self, version: u64) -> Self {
        Self { version, ..self }
    }

    /// What is known of an item; none where it is unknown.
    pub fn find(&self, item_id: &str) -> Option<Item<'_>> {
        let item = self.ids.find(item_id)? as usize;
        let row = Some(self.rows[item]).filter(|row| *row != NONE);
        Some(Item { row, category: self.names.name(self.categories[item]) })
    }

    /// How many items are known.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many of them have vectors.
    pub fn vectors(&self) -> usize {
        self.vectors.len()
    }

    /// An item is there from now on; its category is the first that was told.
    pub fn describe(&mut self, id: &str, category: &str) {
        let (item, is_new) = self.ids.add(id);
        if is_new {
            self.rows.push(NONE);
            self.categories.push(0);
        }
        let own = &mut self.categories[item as usize];
        if *own == 0 {
            *own = self.names.add(category).0;
        }
    }

    /// Gives items that are described and have none yet their vectors (items, dim), with the words of their signatures by each
    /// hash.
    ///
    /// # Errors
    /// Where the vectors cannot be kept.
    pub fn complete<'a>(
        &mut self,
        ids: impl IntoIterator<Item = &'a str>,
        vectors: &[i16],
        signatures: &[Vec<u64>],
    ) -> io::Result<()> {
        let first = self.vectors.len() as u32;
        self.vectors.push(vectors)?;
        for (own, more) in self.signatures.iter_mut().zip(signatures) {
            own.extend_from_slice(more);
        }
        for (row, id) in (first..).zip(ids) {
            let item = self.ids.find(id).expect("an item is described before it is completed");
            self.rows[item as usize] = row;
        }
        Ok(())
    }

    /// Takes the vectors of `rows`, in their order, and their signatures by one of the hashes, where that is asked for.
    ///
    /// # Errors
    /// Where vectors cannot be read.
    pub fn gather(&self, rows: &[u32], hash: Option<usize>, out: &mut Gathered) -> io::Result<()> {
        (out.dim, out.words) = (self.vectors.dim(), 0);
        out.vectors.clear();
        out.signatures.clear();
        self.vectors.gather(rows, &mut out.vectors)?;
        let Some(all) = hash.map(|hash| &self.signatures[hash]).filter(|_| !rows.is_empty()) else { return Ok(()) };
        out.words = all.len() / self.vectors.len();
        for &row in rows {
            out.signatures.extend_from_slice(&all[row as usize * out.words..][..out.words]);
        }
        Ok(())
    }

    /// Brings some vectors back into memory where there is room again; whether there is more to bring.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn recall(&mut self) -> io::Result<bool> {
        self.vectors.recall()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_known_by_what_was_said_of_it_first() {
        let mut items = Items::new(2, 1, Arc::new(Budget::new(u64::MAX, std::env::temp_dir())));
        items.describe("a", "");
        items.describe("b", "shoes");
        assert_eq!(items.find("a"), Some(Item { row: None, category: "" }));
        items.describe("a", "hats");
        items.describe("a", "shoes");
        items.describe("b", "coats");
        items.complete(["b", "a"], &[1, 2, 3, 4], &[vec![7, 8]]).unwrap();
        assert_eq!(items.find("a"), Some(Item { row: Some(1), category: "hats" }));
        assert_eq!(items.find("b"), Some(Item { row: Some(0), category: "shoes" }));
        assert_eq!((items.find("c"), items.len(), items.vectors(), items.names.len()), (None, 2, 2, 3));
        let mut gathered = Gathered::default();
        items.gather(&[1, 0, 1], Some(0), &mut gathered).unwrap();
        assert_eq!(
            (gathered.vector(0), gathered.vector(1), gathered.signature(2)),
            (&[3, 4][..], &[1, 2][..], &[8][..])
        );
        items.gather(&[], Some(0), &mut gathered).unwrap();
        assert_eq!((gathered.vectors().count(), gathered.signatures().len()), (0, 0));
    }
}
