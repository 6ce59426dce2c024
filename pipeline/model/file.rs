//! A model version as a safetensors file.

use std::collections::HashMap;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::Value;
use shaders::ops::tensors::Entry;

use super::{Model, ModelError};

/// Names in the file's metadata.
const NAME: &str = "model";
const VERSION: &str = "version";
const ABOUT: &str = "about";

/// Writes a model as `dir/<model>.safetensors`.
///
/// # Errors
/// Where the file cannot be written.
pub fn save_in(model: &Model, dir: &Path) -> Result<(), ModelError> {
    save(model, &dir.join(format!("{}.safetensors", model.name)))
}

/// Writes a model.
///
/// # Errors
/// Where the file cannot be written.
pub fn save(model: &Model, path: &Path) -> Result<(), ModelError> {
    let wrong = |error: &dyn std::fmt::Display| ModelError::File(path.display().to_string(), error.to_string());
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(|error| wrong(&error))?;
    }
    let views = model
        .tensors
        .iter()
        .map(|(name, entry)| TensorView::new(entry.dtype, entry.shape.clone(), &entry.bytes).map(|view| (name, view)));
    let views = views.collect::<Result<Vec<_>, _>>().map_err(|error| wrong(&error))?;
    let about = serde_json::to_string(&model.about).map_err(|error| wrong(&error))?;
    let metadata = [(NAME, model.name.clone()), (VERSION, model.version.to_string()), (ABOUT, about)];
    let metadata: HashMap<String, String> = metadata.map(|(name, value)| (name.to_string(), value)).into();
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(|error| wrong(&error))?;
    std::fs::write(path, bytes).map_err(|error| wrong(&error))
}

/// Reads what [`save`] wrote.
///
/// # Errors
/// Where the file cannot be read, or is none of ours.
pub fn load(path: &Path) -> Result<Model, ModelError> {
    let wrong = |error: &dyn std::fmt::Display| ModelError::File(path.display().to_string(), error.to_string());
    let bytes = std::fs::read(path).map_err(|error| wrong(&error))?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| wrong(&error))?;
    let said = |name: &str| {
        let said = header.metadata().as_ref().and_then(|metadata| metadata.get(name));
        said.ok_or_else(|| wrong(&format!("its metadata has no `{name}`; `wellspring train` writes one that has")))
    };
    let (name, version) = (said(NAME)?.clone(), said(VERSION)?.parse().map_err(|error| wrong(&error))?);
    let about: Value = serde_json::from_str(said(ABOUT)?).map_err(|error| wrong(&error))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| wrong(&error))?;
    let tensors = file.tensors().into_iter().map(|(name, view)| {
        (name, Entry { dtype: view.dtype(), shape: view.shape().to_vec(), bytes: view.data().to_vec() })
    });
    Ok(Model { name, version, about, tensors: tensors.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_survives_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let tensors = [("a".to_string(), Entry::floats(vec![2, 1], &[1.5, -0.0])), ("b".into(), Entry::integers(&[7]))];
        let about = serde_json::json!({"types": ["view"]});
        let model = Model { name: "m".into(), version: 3, about, tensors: tensors.into() };
        save_in(&model, dir.path()).unwrap();
        assert_eq!(load(&dir.path().join("m.safetensors")).unwrap(), model);
        std::fs::write(dir.path().join("no.safetensors"), b"x").unwrap();
        assert!(load(&dir.path().join("no.safetensors")).is_err());
    }
}
