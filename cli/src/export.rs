//! `duoguard export`: from a checkpoint to a bundle.

use crate::Outcome;
use crate::cli::ExportArgs;
use crate::failure::Failure;

pub(crate) fn run(_arguments: &ExportArgs) -> Result<Outcome, Failure> {
    Err(Failure::message(
        "this build cannot export yet: the command line is not connected to the exporter",
    ))
}
