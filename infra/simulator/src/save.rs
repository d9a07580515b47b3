//! Keeps the state in one JSON file, so that it survives a stop and, but for the last moment, a kill.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::sim::Sim;
use crate::state::World;

const FILE: &str = "ringcentral.json";

/// Reads the state of an earlier run, or makes the seed state. The apps get the redirect URIs of this run.
pub async fn load(folder: &Path, redirect_uris: &[String]) -> anyhow::Result<World> {
    let (folder, redirect_uris) = (folder.to_owned(), redirect_uris.to_vec());
    tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&folder).with_context(|| format!("can't make {}", folder.display()))?;
        let file = folder.join(FILE);
        match std::fs::read(&file) {
            Ok(bytes) => {
                let mut world: World = serde_json::from_slice(&bytes).with_context(|| {
                    format!(
                        "the simulator's state in {} can't be restored; delete {}",
                        file.display(),
                        folder.display()
                    )
                })?;
                for app in &mut world.apps {
                    app.redirect_uris.clone_from(&redirect_uris);
                }
                Ok(world)
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(World::seeded(&redirect_uris)),
            Err(e) => Err(e).with_context(|| format!("can't read {}", file.display())),
        }
    })
    .await?
}

/// Writes the state soon after each change, and once more at the end.
pub async fn keep(sim: Arc<Sim>, folder: std::path::PathBuf) {
    let mut pause = Duration::from_millis(50);
    loop {
        let last = tokio::select! {
            () = sim.dirty.notified() => false,
            () = sim.stopped() => true,
        };
        if !last {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = sim.stopped() => {}
            }
        }
        let began = std::time::Instant::now();
        let json = sim.peek(serde_json::to_vec);
        let target = folder.clone();
        let written = match json {
            Ok(json) => {
                tokio::task::spawn_blocking(move || write(&target, &json)).await.map_err(anyhow::Error::from)
            }
            Err(e) => Err(e.into()),
        };
        if let Err(error) = written.and_then(|w| w) {
            tracing::error!(%error, "the simulator's state was not written");
        }
        // A large state is written less often, so that writing never takes more than a tenth of the time.
        pause = (began.elapsed() * 10).clamp(Duration::from_millis(50), Duration::from_secs(5));
        if last {
            return;
        }
    }
}

fn write(folder: &Path, json: &[u8]) -> anyhow::Result<()> {
    let (target, temporary) = (folder.join(FILE), folder.join(format!("{FILE}.new")));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(&temporary)?;
    std::io::Write::write_all(&mut file, json)?;
    std::fs::rename(&temporary, &target)?;
    Ok(())
}
