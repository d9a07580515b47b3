//! Building the functions: one that does not build leaves the others alone.

use local::build;
use std::path::Path;

fn write(folder: &Path, file: &str, text: &str) {
    let path = folder.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[tokio::test]
async fn a_function_that_does_not_build_leaves_the_others_alone() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"functions/*\"]\n");
    for (name, text) in [("good", "fn main() {}"), ("bad", "fn main() { this is not Rust }")] {
        let manifest = format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
        write(root, &format!("functions/{name}/Cargo.toml"), &manifest);
        write(root, &format!("functions/{name}/src/main.rs"), text);
    }
    let built = build::functions(root, false).await.unwrap();
    assert!(!built.complete);
    assert_eq!(built.binaries.iter().map(String::as_str).collect::<Vec<_>>(), ["good"]);
    assert!(built.folder.join("good").exists());
}
