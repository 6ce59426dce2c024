//! Named tensors in one flat buffer, as in llm.c: the optimizer, a snapshot and zeroing are one loop each.

use std::collections::BTreeMap;
use std::collections::HashMap;

use crate::Error;

/// One tensor's name, shape and place in the flat buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its name in files.
    pub name: String,
    /// First dimension.
    pub rows: usize,
    /// Second dimension.
    pub columns: usize,
    /// Where its numbers begin.
    pub offset: usize,
}

impl Tensor {
    /// Its place in the flat buffer.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.rows * self.columns
    }
}

/// The names, shapes and places of a model's tensors.
#[derive(Debug, Clone, Default)]
pub struct Tensors {
    list: Vec<Tensor>,
    by_name: HashMap<String, usize>,
    len: usize,
}

impl Tensors {
    /// Appends a tensor (rows, columns).
    pub fn add(&mut self, name: impl Into<String>, rows: usize, columns: usize) {
        let name = name.into();
        let known = self.by_name.insert(name.clone(), self.list.len());
        assert!(known.is_none(), "two tensors are named {name}");
        self.list.push(Tensor { name, rows, columns, offset: self.len });
        self.len += rows * columns;
    }

    /// How many numbers they hold together.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.by_name.get(name).map(|&place| &self.list[place])
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Tensor> {
        self.list.iter()
    }

    /// `values` as named tensors, little-endian, with `prefix` before each name.
    pub fn named(&self, prefix: &str, values: &[f32], into: &mut Named) {
        for tensor in &self.list {
            let entry = Entry::floats(vec![tensor.rows, tensor.columns], &values[tensor.range()]);
            into.insert(format!("{prefix}{}", tensor.name), entry);
        }
    }

    /// Takes the tensors that [`Tensors::named`] gave out of `from`.
    ///
    /// # Errors
    /// [`Error::Tensors`] that lists every missing and misshapen one.
    pub fn take(&self, prefix: &str, from: &mut Named) -> Result<Vec<f32>, Error> {
        let (mut values, mut faults) = (vec![0.0; self.len], Vec::new());
        for tensor in &self.list {
            let name = format!("{prefix}{}", tensor.name);
            match from.remove(&name) {
                None => faults.push(format!("{name} is missing")),
                Some(entry) => match entry.to_floats(&[tensor.rows, tensor.columns]) {
                    Ok(floats) => values[tensor.range()].copy_from_slice(&floats),
                    Err(fault) => faults.push(format!("{name} {fault}")),
                },
            }
        }
        if faults.is_empty() { Ok(values) } else { Err(Error::Tensors(faults.join("; "))) }
    }
}

/// A set of named tensors outside of a model, as a file or a topic holds them.
pub type Named = BTreeMap<String, Entry>;

/// Type, shape and little-endian bytes of a named tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `F32`, `U64` or `U8`.
    pub dtype: safetensors::Dtype,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Little-endian, row by row.
    pub bytes: Vec<u8>,
}

impl Entry {
    /// Floats of that shape.
    pub fn floats(shape: Vec<usize>, values: &[f32]) -> Entry {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "a shape and its numbers");
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Entry { dtype: safetensors::Dtype::F32, shape, bytes }
    }

    /// A vector of integers.
    pub fn integers(values: &[u64]) -> Entry {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Entry { dtype: safetensors::Dtype::U64, shape: vec![values.len()], bytes }
    }

    /// Bytes as they are.
    pub fn bytes(bytes: &[u8]) -> Entry {
        Entry { dtype: safetensors::Dtype::U8, shape: vec![bytes.len()], bytes: bytes.to_vec() }
    }

    /// The bytes, if it is a vector of them.
    ///
    /// # Errors
    /// What is wrong, to stand after the tensor's name.
    pub fn to_bytes(&self) -> Result<&[u8], String> {
        self.expect(safetensors::Dtype::U8, &[self.bytes.len()])?;
        Ok(&self.bytes)
    }

    /// The floats, if they have that shape.
    ///
    /// # Errors
    /// What is wrong, to stand after the tensor's name.
    pub fn to_floats(&self, shape: &[usize]) -> Result<Vec<f32>, String> {
        self.expect(safetensors::Dtype::F32, shape)?;
        Ok(self.bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("4 bytes"))).collect())
    }

    /// The integers, if there are so many.
    ///
    /// # Errors
    /// What is wrong, to stand after the tensor's name.
    pub fn to_integers(&self, len: usize) -> Result<Vec<u64>, String> {
        self.expect(safetensors::Dtype::U64, &[len])?;
        Ok(self.bytes.chunks_exact(8).map(|b| u64::from_le_bytes(b.try_into().expect("8 bytes"))).collect())
    }

    fn expect(&self, dtype: safetensors::Dtype, shape: &[usize]) -> Result<(), String> {
        if self.dtype != dtype || self.shape != shape {
            return Err(format!("is {:?} {:?}, but must be {dtype:?} {shape:?}", self.dtype, self.shape));
        }
        let bytes = shape.iter().product::<usize>() * dtype.bitsize() / 8;
        if self.bytes.len() != bytes {
            return Err(format!("has {} bytes, but must have {bytes}", self.bytes.len()));
        }
        Ok(())
    }
}

/// The bytes of a safetensors file.
pub fn to_safetensors(named: &Named) -> Vec<u8> {
    let views = named.iter().map(|(name, entry)| {
        let view = safetensors::tensor::TensorView::new(entry.dtype, entry.shape.clone(), &entry.bytes);
        (name, view.expect("an entry's bytes fit its shape"))
    });
    safetensors::serialize(views, None).expect("views of whole tensors can be serialized")
}

/// Reads the bytes of a safetensors file.
///
/// # Errors
/// [`Error::Tensors`] where they are none.
pub fn from_safetensors(bytes: &[u8]) -> Result<Named, Error> {
    let file = safetensors::SafeTensors::deserialize(bytes)
        .map_err(|error| Error::Tensors(format!("not a safetensors file: {error}")))?;
    let entry = |view: &safetensors::tensor::TensorView<'_>| Entry {
        dtype: view.dtype(),
        shape: view.shape().to_vec(),
        bytes: view.data().to_vec(),
    };
    Ok(file.tensors().iter().map(|(name, view)| (name.clone(), entry(view))).collect())
}

/// Refuses what nobody took.
///
/// # Errors
/// [`Error::Tensors`] that lists the extra names.
pub fn refuse_extra(named: &Named) -> Result<(), Error> {
    if named.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = named.keys().map(String::as_str).collect();
    Err(Error::Tensors(format!("unknown: {}", names.join(", "))))
}
