//! Writes the manual: `ounce-manual DIRECTORY`. See `scripts/manual`.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

fn main() -> ExitCode {
    let Some(folder) = env::args_os().nth(1) else {
        eprintln!("Usage: ounce-manual DIRECTORY");
        return ExitCode::FAILURE;
    };
    let folder = Path::new(&folder);
    let written = fs::create_dir_all(folder).and_then(|()| {
        ounce_manual::files().into_iter().try_for_each(|(name, text)| fs::write(folder.join(name), text))
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}
