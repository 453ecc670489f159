//! Templates of the operator's: where they are found.

use crate::settings::Settings;
use ounce_ctl::render::template::Templates;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The file that is looked for when only a template's name is given.
const FILE: &str = "poundctl.tmpl";
/// Where files are looked for.
const PATH: &str = "~/.poundctl.tmpl:/usr/share/ounce:/usr/share/pound";
/// The template that is run.
const NAME: &str = "default";

/// Shows an answer by the template that the settings name.
///
/// # Errors
/// Why it cannot be.
pub(crate) fn render(settings: &Settings, answer: &Value) -> Result<String, String> {
    let file = settings.template_file.as_deref().unwrap_or(FILE);
    let name = settings.template_name.as_deref().unwrap_or(NAME);
    let path = match &settings.template_path {
        Some(path) => path.clone(),
        None => std::env::var("POUND_TMPL_PATH").unwrap_or_else(|_| PATH.to_owned()),
    };
    let found = find(file, &path).ok_or_else(|| format!("no template file {file} in {path}"))?;
    let shown = found.display();
    let text = std::fs::read_to_string(&found).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let mut templates = Templates::default();
    templates.add(NAME, &text).map_err(|error| format!("{shown}: {error}"))?;
    templates.run(name, answer).map_err(|error| format!("{shown}: {error}"))
}

/// A file by its name, in the folders of a path; one that begins with `/`, `./` or `../` is where it says.
fn find(file: &str, path: &str) -> Option<PathBuf> {
    if ["/", "./", "../"].iter().any(|start| file.starts_with(start)) {
        return Some(file.into());
    }
    let home = std::env::var_os("HOME");
    let folders = path.split(':').filter(|folder| !folder.is_empty());
    let paths = folders.map(|folder| match (folder.strip_prefix("~/"), &home) {
        (Some(below), Some(home)) => Path::new(home).join(below).join(file),
        _ => Path::new(folder).join(file),
    });
    paths.into_iter().find(|path| path.is_file())
}
