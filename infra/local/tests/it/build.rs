//! Building the functions.

use local::build::{self, BuildProfile};
use local::progress::ProgressLine;
use std::collections::BTreeSet;
use std::path::Path;

fn write(folder: &Path, file: &str, text: &str) {
    let path = folder.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[tokio::test]
async fn a_function_that_fails_to_build_does_not_stop_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"functions/*\"]\n");
    for (name, text) in [("good", "fn main() {}"), ("bad", "fn main() { this is not Rust }")] {
        let manifest = format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
        write(root, &format!("functions/{name}/Cargo.toml"), &manifest);
        write(root, &format!("functions/{name}/src/main.rs"), text);
    }
    let names = BTreeSet::from(["bad".to_owned(), "good".to_owned()]);
    let mut progress = ProgressLine::on_stderr();
    let built = build::functions(root, BuildProfile::Debug, &names, &mut progress).await.unwrap();
    assert!(!built.complete);
    assert_eq!(built.binaries.iter().map(String::as_str).collect::<Vec<_>>(), ["good"]);
    assert!(built.folder.join("good").exists());
}
