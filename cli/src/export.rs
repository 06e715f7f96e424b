//! `duoguard export`: from a checkpoint to a bundle.

use std::io::Write;
use std::time::Instant;

use duoguard_export::{ExportOptions, ExportReport, export};

use crate::Outcome;
use crate::certificate;
use crate::cli::ExportArgs;
use crate::failure::Failure;
use crate::section;

pub(crate) fn run(arguments: &ExportArgs) -> Result<Outcome, Failure> {
    let options = ExportOptions {
        quantize: arguments.quantize,
        calibration: arguments.calibrate.clone(),
        target_fpr: arguments.target_fpr,
        benign: arguments.benign.clone(),
        benign_fpr: arguments.benign_fpr,
        certify: arguments.certify.clone(),
        certify_rows: arguments.certify_rows,
        labels: arguments.labels.clone(),
        safe_label: arguments.safe_label.clone(),
        force: arguments.force,
        ..ExportOptions::default()
    };
    let start = Instant::now();
    let report = export(&arguments.checkpoint, &arguments.bundle, &options)?;
    let mut text = describe(arguments, &report, start.elapsed().as_secs_f64());
    // What quantising changed is shown as it was written, so that what is printed here is what the
    // bundle says.
    section::describe(&mut text, "quantization", &report.manifest.quantization);
    certificate::describe(&mut text, &report.manifest.certificate);
    section::describe(&mut text, "provenance", &report.manifest.provenance);
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Failure::output)?;
    Ok(Outcome::Safe)
}

fn describe(arguments: &ExportArgs, report: &ExportReport, elapsed_s: f64) -> String {
    format!(
        "bundle     {}\nsize       {} bytes\nparity     fp32 graph within {:.1e} of the checkpoint's logits\ntime       {elapsed_s:.1} s\n",
        arguments.bundle.display(),
        report.bundle_bytes,
        report.fp32_parity_max_error,
    )
}
