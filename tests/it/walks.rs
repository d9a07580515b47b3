//! The commands that the documents show, typed as they stand: what a person copies must work.

use std::path::Path;
use std::process::Stdio;

use local::{Data, Options};
use tokio::process::Command;

use crate::house::{read, root};
use crate::world::{World, binaries};

/// The blocks of shell commands of a document that talk to the stack, below a heading.
fn blocks(document: &str, below: &str) -> Vec<String> {
    let text = read(&root().join(document));
    let from = text.find(below).unwrap_or_else(|| panic!("{document} has no {below}"));
    let blocks =
        text[from..].split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    blocks.filter(|block| block.contains("curl ") || block.contains("GATEWAY=")).collect()
}

/// A script of the blocks in which every `curl` writes its status and its answer's first line into a file.
fn script(blocks: &[String], world: &World) -> String {
    let info = world.stack.info();
    let commands = blocks.join("\n").replace("http://127.0.0.1:9400", info.gateway());
    let commands = commands.replace("http://localhost:9410", info.ringcentral());
    let commands = commands.replace("http://127.0.0.1:9420", info.aws());
    // What is only for AWS is left out: there is none.
    let commands: Vec<&str> = commands.lines().filter(|line| !line.contains("aws secretsmanager")).collect();
    format!(
        "set -euo pipefail\n\
         curl() {{ command curl -sS -w '\\n%{{stderr}}%{{http_code}} %{{method}} %{{url}}\\n' \"$@\"; }}\n{}\n",
        commands.join("\n")
    )
}

/// Types the commands in a folder with `.local/stack.json`: what was answered, one line for each `curl`.
async fn walk(folder: &Path, script: &str) -> Vec<String> {
    let mut bash = Command::new("bash");
    bash.arg("-c").arg(script).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    let output = bash.output().await.unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stdout));
    told.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// A stack whose data folder is where the documents say.
async fn at_home(folder: &Path) -> World {
    let mut options = Options::for_tests(&root());
    options.binaries = binaries().to_owned();
    options.data = Data::Folder(folder.join(".local"));
    World::with(options).await
}

/// Every `curl` of the blocks was answered, and with success.
fn all_succeed(lines: &[String], blocks: &[String]) {
    let count = blocks.iter().map(|block| block.matches("curl ").count()).sum::<usize>();
    assert!(count >= 10, "the documents have lost their commands");
    assert_eq!(lines.len(), count, "{lines:#?}");
    for line in lines {
        assert!(line.starts_with('2'), "{line}");
    }
}

#[tokio::test]
async fn the_readmes_commands_connect_an_extension_and_set_a_tenant_up() {
    let folder = tempfile::tempdir().unwrap();
    let world = at_home(folder.path()).await;
    world.connect(&world.tenant(), &world.user(0)).await.expect(303);
    let tenant = world.new_tenant("Acme").await;
    let blocks = blocks("README.md", "## Connect a RingCentral number with curl");
    // An id is told by what was made before; the README can't know it.
    let script = script(&blocks, &world).replace("tenant_…", &tenant.id);
    all_succeed(&walk(folder.path(), &script).await, &blocks);
}

#[tokio::test]
async fn the_operators_first_five_minutes_go_as_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let world = at_home(folder.path()).await;
    let blocks = blocks("docs/first-five-minutes.md", "# The operator's first five minutes");
    let script = script(&blocks, &world);
    let mut lines = walk(folder.path(), &script).await;
    // The tenant may be gone when one asks how far its deletion has come.
    if let Some(last) = lines.last_mut().filter(|last| last.starts_with("404 GET")) {
        last.replace_range(..3, "200");
    }
    all_succeed(&lines, &blocks);
}
