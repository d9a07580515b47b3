//! The fuzz targets with their kept corpus, and with each of its inputs cut off at every byte and with each byte replaced.

use std::collections::BTreeSet;
use std::fs;

use crate::house::root;

#[path = "../fuzz/targets.rs"]
mod targets;

#[test]
fn every_fuzz_target_passes_with_its_corpus() {
    let folder = root().join("tests/fuzz");
    let names = |at: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(folder.join(at)).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    let targets: BTreeSet<String> = targets::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!((names("corpus"), names("fuzz_targets")), (targets.clone(), targets.clone()));
    let (manifest, readme) = (
        fs::read_to_string(folder.join("Cargo.toml")).unwrap(),
        fs::read_to_string(folder.join("README.md")).unwrap(),
    );
    for name in &targets {
        assert!(
            manifest.contains(&format!("name = \"{name}\"")) && readme.contains(&format!("`{name}`")),
            "{name}"
        );
        let inputs = fs::read_dir(folder.join("corpus").join(name)).unwrap();
        for path in inputs.map(|entry| entry.unwrap().path()) {
            let input = fs::read(&path).unwrap();
            targets::run(name, &input);
            for at in 0..input.len() {
                targets::run(name, &input[..at]);
                for byte in [0, b'"', b'[', b'9', 0xff] {
                    let mut damaged = input.clone();
                    damaged[at] = byte;
                    targets::run(name, &damaged);
                }
            }
        }
    }
}
