//! The items that a room knows vectors of.

use std::collections::HashMap;
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};

use shaders::sdim::{Sdim, quantize};

/// Item vectors and their signatures, shared by all workers of a process: locked once a micro-batch, never per event.
pub struct Catalogue {
    dim: usize,
    known: RwLock<Items>,
    changed: AtomicU64,
}

/// An item as its topic describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    /// Its id.
    pub id: Box<str>,
    /// Its category; empty where it has none.
    pub category: Box<str>,
    /// Its vector.
    pub vector: Vec<f32>,
}

/// Quantized vectors by item.
#[derive(Debug, Default)]
pub struct Items {
    by_id: HashMap<Box<str>, u32>,
    /// (items, dim), scale 2^-14
    vectors: Vec<i16>,
    signatures: Vec<u64>,
    /// Empty of an item without one.
    categories: Vec<Box<str>>,
    /// How often all were forgotten.
    generation: u64,
}

impl Items {
    /// Where `item_id` stands; none where its vector is unknown.
    pub fn find(&self, item_id: &str) -> Option<u32> {
        self.by_id.get(item_id).copied()
    }

    /// The vector of an item, `dim` numbers.
    pub fn vector(&self, item: u32, dim: usize) -> &[i16] {
        let start = item as usize * dim;
        &self.vectors[start..start + dim]
    }

    /// The signature of an item.
    pub fn signature(&self, item: u32) -> u64 {
        self.signatures[item as usize]
    }

    /// The vectors of all items, one after the other.
    pub fn vectors(&self) -> &[i16] {
        &self.vectors
    }

    /// The category of an item; empty where it has none.
    pub fn category(&self, item: u32) -> &str {
        self.categories.get(item as usize).map_or("", |category| category)
    }

    /// How often all items were forgotten, so that their numbers may be others'.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// How many items are known.
    pub fn len(&self) -> usize {
        self.signatures.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.signatures.is_empty()
    }

    /// Adds items that are not known yet, with their quantized vectors (items, dim), signatures, and categories where they
    /// have some.
    pub fn add(&mut self, ids: Vec<Box<str>>, vectors: &[i16], signatures: &[u64], categories: Vec<Box<str>>) {
        let first = self.len() as u32;
        self.categories.extend(categories);
        self.by_id.extend(ids.into_iter().zip(first..));
        self.vectors.extend_from_slice(vectors);
        self.signatures.extend_from_slice(signatures);
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.by_id.clear();
        self.vectors.clear();
        self.signatures.clear();
        self.categories.clear();
        self.generation += 1;
    }
}

impl Catalogue {
    /// No items yet, of vectors of length `dim`.
    pub fn new(dim: usize) -> Self {
        Self { dim, known: RwLock::default(), changed: AtomicU64::new(0) }
    }

    /// The items, for the length of a micro-batch.
    pub fn read(&self) -> std::sync::RwLockReadGuard<'_, Items> {
        self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// How often an item came with another vector than its first, which stays.
    pub fn changed(&self) -> u64 {
        self.changed.load(Ordering::Relaxed)
    }

    /// Takes a batch of items as they came; an item's first vector is final. The kernels hold no tables.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn take(&self, kernels: &mut Sdim, batch: Vec<Described>) -> Result<(), shaders::Error> {
        let (mut ids, mut vectors, mut categories) = (Vec::new(), Vec::new(), Vec::new());
        let mut quantized = Vec::new();
        let mut fresh: HashMap<Box<str>, usize> = HashMap::new();
        let known = self.read();
        for Described { id, category, vector } in batch {
            quantized.clear();
            quantize(&vector, &mut quantized);
            let first = match (known.find(&id), fresh.get(&id)) {
                (Some(item), _) => known.vector(item, self.dim),
                (None, Some(&at)) => &vectors[at * self.dim..(at + 1) * self.dim],
                (None, None) => {
                    fresh.insert(id.clone(), ids.len());
                    ids.push(id);
                    categories.push(category);
                    vectors.extend_from_slice(&quantized);
                    continue;
                }
            };
            self.changed.fetch_add(u64::from(first != quantized), Ordering::Relaxed);
        }
        drop(known);
        let signatures = match kernels.simhash(&vectors) {
            Err(error) if error.is_device_lost() => {
                tracing::warn!("{error}: it is opened again");
                kernels.renew()?;
                kernels.simhash(&vectors)?
            }
            signatures => signatures?,
        };
        self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner).add(
            ids,
            &vectors,
            &signatures,
            categories,
        );
        Ok(())
    }
}
