//! `duoguard engines`: what can compute on this machine.

use std::io::Write;

use duoguard::EngineInfo;

use crate::Outcome;
use crate::failure::Failure;

pub(crate) fn run() -> Result<Outcome, Failure> {
    let text = list(&duoguard::engines());
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Failure::output)?;
    Ok(Outcome::Safe)
}

fn list(engines: &[EngineInfo]) -> String {
    let width = engines.iter().map(|e| e.name.len()).max().unwrap_or(0);
    let line = |engine: &EngineInfo| {
        let state = match engine.available {
            true => "available",
            false => "unavailable",
        };
        format!("{:width$}  {state:<11}  {}\n", engine.name, engine.detail)
    };
    engines.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_an_engine() {
        let engine = |name: &str, available, detail: &str| EngineInfo {
            name: name.to_owned(),
            available,
            detail: detail.to_owned(),
        };
        let text = list(&[
            engine("rten", true, "built in"),
            engine("onnxruntime", false, "not found"),
        ]);
        assert_eq!(
            text,
            "rten         available    built in\nonnxruntime  unavailable  not found\n"
        );
    }
}
