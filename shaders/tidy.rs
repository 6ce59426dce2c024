//! The form of kernels, as a test: what the compiler of neither language can see across the two.

use std::path::{Path, PathBuf};

use crate::kernel::Source;

/// Every room's kernels, with the room's folder.
const ROOMS: &[(&str, &[Source])] =
    &[("muse", crate::muse::SOURCES), ("ops", crate::ops::SOURCES), ("sdim", crate::sdim::SOURCES)];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files of a folder with that extension, relative to the crate.
fn files_of(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_of(&path, kind));
        } else if path.extension().is_some_and(|extension| extension == kind) {
            files.push(path.strip_prefix(root()).unwrap().to_owned());
        }
    }
    files
}

fn parse(name: &str, wgsl: &str) -> naga::Module {
    let module = naga::front::wgsl::parse_str(wgsl).unwrap_or_else(|error| panic!("{name}: {error}"));
    let (flags, capabilities) = (naga::valid::ValidationFlags::all(), naga::valid::Capabilities::all());
    let validated = naga::valid::Validator::new(flags, capabilities).validate(&module);
    validated.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    module
}

#[test]
fn every_wgsl_file_is_a_kernel_of_its_room_or_a_shared_snippet() {
    let files = files_of(root(), "wgsl");
    assert!(files.len() > 5, "the walk found {files:?}");
    for file in files {
        let text = std::fs::read_to_string(root().join(&file)).unwrap();
        let (folder, stem) = (file.parent().unwrap().to_str().unwrap(), file.file_stem().unwrap().to_str().unwrap());
        if folder == "shared" {
            // A snippet may stand on the one for folded grids.
            let grid = include_str!("shared/grid.wgsl");
            let module = parse(stem, &if stem == "grid" { text } else { format!("{grid}{text}") });
            assert!(module.entry_points.is_empty(), "{file:?} has an entry point");
            let bound = module.global_variables.iter().any(|(_, variable)| variable.binding.is_some());
            assert!(!bound, "{file:?} has a binding");
            continue;
        }
        let (_, sources) =
            ROOMS.iter().find(|(room, _)| *room == folder).unwrap_or_else(|| panic!("{file:?}: no room"));
        let source =
            sources.iter().find(|source| source.name == stem).unwrap_or_else(|| panic!("{file:?}: no launcher"));
        assert!(source.wgsl.ends_with(&text), "{file:?} is not the end of kernel {stem}");
    }
}

#[test]
fn every_kernel_has_its_entry_point_its_params_and_its_twin() {
    for (room, sources) in ROOMS {
        // In `cpu.rs`, or where each operation has a file of its own, in any of them.
        let twins: String = files_of(&root().join(room), "rs")
            .iter()
            .filter(|file| !file.to_str().unwrap().contains("tests"))
            .map(|file| std::fs::read_to_string(root().join(file)).unwrap())
            .collect();
        for source in *sources {
            let name = source.name;
            let module = parse(name, source.wgsl);
            let entry_points: Vec<&str> = module.entry_points.iter().map(|entry| entry.name.as_str()).collect();
            assert_eq!(entry_points, [name]);
            let twin = [format!("fn {name}("), format!("fn {name}<")];
            assert!(twin.iter().any(|twin| twins.contains(twin)), "{room} has no twin {name}");
            check_params(&module, source);
            check_bindings(&module, name);
        }
    }
}

/// `struct Params` has the members, offsets and size of its Rust mirror.
fn check_params(module: &naga::Module, source: &Source) {
    let params = module.types.iter().find(|(_, kind)| kind.name.as_deref() == Some("Params"));
    let Some((_, naga::Type { inner: naga::TypeInner::Struct { members, span }, .. })) = params else {
        panic!("{} has no struct Params", source.name);
    };
    let word = |member: &naga::StructMember| {
        matches!(module.types[member.ty].inner, naga::TypeInner::Scalar(naga::Scalar::U32))
    };
    assert!(members.iter().all(word), "{}: params are u32", source.name);
    let found: Vec<(&str, usize)> =
        members.iter().map(|member| (member.name.as_deref().unwrap(), member.offset as usize)).collect();
    assert_eq!(found, source.members, "{}", source.name);
    assert_eq!(*span as usize, source.size, "{}", source.name);
}

/// Group 0, bindings 0, 1, 2, …; 0 is the uniform `params`.
fn check_bindings(module: &naga::Module, name: &str) {
    let mut bindings = Vec::new();
    for (_, variable) in module.global_variables.iter() {
        let Some(binding) = &variable.binding else { continue };
        assert_eq!(binding.group, 0, "{name}");
        let uniform = variable.space == naga::AddressSpace::Uniform;
        assert_eq!(uniform, binding.binding == 0, "{name}: binding 0, and no other, is a uniform");
        bindings.push(binding.binding);
    }
    bindings.sort_unstable();
    assert_eq!(bindings, (0..bindings.len() as u32).collect::<Vec<_>>(), "{name}");
    // WebGPU's floor of storage buffers per stage.
    assert!(bindings.len() <= 1 + 8, "{name} binds too much");
}
