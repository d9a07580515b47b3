//! Saves the state in one JSON file. It survives a stop and, except for the last changes, a kill.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::platform::state::PlatformState;
use crate::rules::seed::seeded_state;
use crate::runtime::simulator_core::SimulatorCore;

const FILE: &str = "ringcentral.json";
const MIN_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Loads the state of an earlier run, or creates a new one. The apps get the redirect URIs of this run.
pub async fn load_state(folder: &Path, redirect_uris: &[String]) -> anyhow::Result<PlatformState> {
    let (folder, redirect_uris) = (folder.to_owned(), redirect_uris.to_vec());
    tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("folder {} cannot be created", folder.display()))?;
        let file = folder.join(FILE);
        match std::fs::read(&file) {
            Ok(bytes) => {
                let mut state: PlatformState = serde_json::from_slice(&bytes).with_context(|| {
                    format!(
                        "the simulator's state in {} can't be restored; delete {}",
                        file.display(),
                        folder.display()
                    )
                })?;
                for app in &mut state.apps {
                    app.redirect_uris.clone_from(&redirect_uris);
                }
                Ok(state)
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(seeded_state(&redirect_uris)),
            Err(e) => Err(e).with_context(|| format!("{} cannot be read", file.display())),
        }
    })
    .await?
}

/// Saves the state shortly after each change, and once more when the simulator stops.
pub async fn save_changes(core: Arc<SimulatorCore>, folder: std::path::PathBuf) {
    let mut pause = MIN_PAUSE;
    loop {
        let is_last = tokio::select! {
            () = core.changed.notified() => false,
            () = core.stopped() => true,
        };
        if !is_last {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = core.stopped() => {}
            }
        }
        let began = std::time::Instant::now();
        if let Err(error) = save(&core, folder.clone()).await {
            tracing::error!(%error, "simulator state could not be saved");
        }
        // Saving takes at most a tenth of the time, even if the state is large.
        pause = (began.elapsed() * 10).clamp(MIN_PAUSE, MAX_PAUSE);
        if is_last {
            return;
        }
    }
}

async fn save(core: &SimulatorCore, folder: std::path::PathBuf) -> anyhow::Result<()> {
    let json = core.read(serde_json::to_vec)?;
    tokio::task::spawn_blocking(move || write(&folder, &json)).await?
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
