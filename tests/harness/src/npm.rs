//! Packages of npm, for tests that need Microsoft's JavaScript.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Tests of one program that want the same packages.
static INSTALLING: Mutex<()> = Mutex::new(());

/// Installs what a `package.json` names into a folder of its own inside `parent`, unless that was done before. Gives the folder.
///
/// # Errors
/// Why it cannot be had.
pub fn install(parent: &Path, package: &str) -> Result<PathBuf, String> {
    let _one_at_a_time = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let into = parent.join("npm");
    let there = std::fs::read_to_string(into.join("package.json"));
    if there.is_ok_and(|there| there == package) {
        return Ok(into);
    }
    run("node", &["--version"])?;
    // Beside it first: a folder that is there is complete.
    let part = parent.join(format!("npm-{}", std::process::id()));
    fill(&part, package)?;
    // Another version, or somebody else's same one.
    let _ = std::fs::remove_dir_all(&into);
    let moved = std::fs::rename(&part, &into);
    if moved.is_err() {
        let _ = std::fs::remove_dir_all(&part);
    }
    if into.join("node_modules").is_dir() {
        Ok(into)
    } else {
        moved.map_err(said).map(|()| into)
    }
}

fn fill(folder: &Path, package: &str) -> Result<(), String> {
    std::fs::create_dir_all(folder).map_err(said)?;
    std::fs::write(folder.join("package.json"), package).map_err(said)?;
    let prefix = folder.display().to_string();
    run(
        "npm",
        &[
            "install",
            "--prefix",
            &prefix,
            "--no-audit",
            "--no-fund",
            "--no-package-lock",
            "--silent",
        ],
    )
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
fn said(error: std::io::Error) -> String {
    error.to_string()
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!(
            "{program} failed: {}",
            String::from_utf8_lossy(&output.stderr)
        )),
        Err(error) => Err(format!("{program} is not there: {error}")),
    }
}
