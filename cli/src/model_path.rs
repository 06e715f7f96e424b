//! Which bundle to use when the command line does not say, and whose signature it must have.

use std::path::{Path, PathBuf};

use duoguard::{Model, ModelOptions};

use crate::cli::ModelArgs;
use crate::failure::Failure;

const VARIABLE: &str = "DUOGUARD_MODEL";
/// The bundled models, the better one first.
const BUNDLED: [&str; 2] = ["models/base", "models/mini"];

/// The bundle of the command line, else of the environment, else a bundled one.
pub(crate) fn find(argument: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = argument {
        return Ok(path.to_owned());
    }
    if let Some(path) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        return Ok(path.into());
    }
    // Through links: an installed `bin/duoguard` may point into the folder that has the model.
    let program = std::env::current_exe().and_then(std::fs::canonicalize).ok();
    let here = std::env::current_dir().ok();
    first_bundle(&places(program.as_deref(), here.as_deref()))
}

/// Opens the model that the command line asks for.
pub(crate) fn open(arguments: &ModelArgs) -> Result<Model, Failure> {
    let options = options(arguments.public_key.as_deref())?;
    Ok(Model::open_with(
        find(arguments.model.as_deref())?,
        &options,
    )?)
}

/// How a model is opened, with the public key in a file where one is given.
pub(crate) fn options(public_key: Option<&Path>) -> Result<ModelOptions, Failure> {
    let Some(path) = public_key else {
        return Ok(ModelOptions::default());
    };
    let failed =
        |cause: &dyn std::fmt::Display| Failure::message(format!("{}: {cause}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| failed(&format!("cannot read: {e}")))?;
    Ok(ModelOptions {
        public_key: Some(text.parse().map_err(|e: duoguard::Error| failed(&e))?),
        ..ModelOptions::default()
    })
}

/// Where the bundled models may lie: the nearest folder first, in it the better model first.
fn places(program: Option<&Path>, here: Option<&Path>) -> Vec<PathBuf> {
    let above = program.into_iter().flat_map(|p| p.ancestors().skip(1));
    let mut places: Vec<PathBuf> = Vec::new();
    for folder in above.chain(here) {
        for place in BUNDLED.map(|bundled| folder.join(bundled)) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
    }
    places
}

fn first_bundle(places: &[PathBuf]) -> Result<PathBuf, Failure> {
    let found = places.iter().find(|p| p.join("manifest.json").is_file());
    found.cloned().ok_or_else(|| {
        let list: Vec<_> = places.iter().map(|p| format!("\n  {}", p.display())).collect();
        Failure::message(format!(
            "no model found: give its bundle with --model DIR or in {VARIABLE}; without them a bundle (a folder with a manifest.json) \
             is looked for in these places, and none has one:{}",
            list.concat()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_beside_and_above_the_program_then_here() {
        let found = places(
            Some(Path::new("/a/target/release/duoguard")),
            Some(Path::new("/b")),
        );
        let expected = [
            "/a/target/release/models/base",
            "/a/target/release/models/mini",
            "/a/target/models/base",
            "/a/target/models/mini",
            "/a/models/base",
            "/a/models/mini",
            "/models/base",
            "/models/mini",
            "/b/models/base",
            "/b/models/mini",
        ];
        assert_eq!(found, expected.map(PathBuf::from));
    }

    #[test]
    fn takes_the_first_that_has_a_manifest_or_names_them_all() {
        let folder = tempfile::tempdir().unwrap();
        let places = [folder.path().join("a"), folder.path().join("b")];
        std::fs::create_dir(&places[0]).unwrap();
        std::fs::create_dir(&places[1]).unwrap();
        let Err(Failure::Message(text)) = first_bundle(&places) else {
            panic!()
        };
        for place in &places {
            assert!(text.contains(&place.display().to_string()), "{text}");
        }
        std::fs::write(places[1].join("manifest.json"), "{}").unwrap();
        assert_eq!(first_bundle(&places).unwrap(), places[1]);
    }
}
