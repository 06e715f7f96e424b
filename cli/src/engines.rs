//! `duoguard engines`: what can compute on this machine, and how fast.

use std::fmt::Write as _;
use std::io::Write as _;

use duoguard::{EngineInfo, GpuAdapter, Model};

use crate::Outcome;
use crate::cli::EnginesArgs;
use crate::engine_times;
use crate::failure::Failure;
use crate::model_path;

pub(crate) fn run(arguments: &EnginesArgs) -> Result<Outcome, Failure> {
    let engines = duoguard::engines();
    let mut text = list(&engines);
    for adapter in duoguard::gpu_adapters() {
        text += &describe(&adapter);
    }
    // Without a model there is still the list.
    let path = match model_path::find(arguments.model.as_deref()) {
        Ok(path) => Some(path),
        Err(failure) if arguments.model.is_some() || arguments.time => return Err(failure),
        Err(_) => None,
    };
    if let Some(path) = path {
        let model = Model::open(&path)?;
        let auto = model.auto_engine(arguments.threads)?;
        let _ = writeln!(
            text,
            "\nauto takes {} for {} ({})",
            auto.name,
            path.display(),
            auto.reason
        );
        if arguments.time {
            text += &engine_times::table(&model, &engines, arguments.threads)?;
        }
    }
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

/// A few lines on an adapter.
fn describe(adapter: &GpuAdapter) -> String {
    let mib = |bytes: u64| bytes >> 20;
    let taken = match adapter.is_chosen {
        true => " - the one that wgpu takes",
        false => "",
    };
    let features = match adapter.features[..] {
        [] => "none".to_owned(),
        ref features => features.join(", "),
    };
    let self_test = match &adapter.self_test {
        Ok(error) => format!("passed; largest error {error:.1e}"),
        Err(reason) => format!("not passed: {reason}"),
    };
    format!(
        "\n{} ({}, {}, {}){taken}\n  limits     {} MiB a binding, {} MiB a buffer; a workgroup: {} KiB, {} invocations in steps of {} to {}\n  \
         features   {features}\n  self-test  {self_test}\n",
        adapter.name,
        adapter.kind,
        adapter.api,
        adapter.driver,
        mib(adapter.max_binding_bytes),
        mib(adapter.max_buffer_bytes),
        adapter.workgroup_bytes >> 10,
        adapter.max_invocations,
        adapter.subgroup_sizes.0,
        adapter.subgroup_sizes.1,
    )
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
            engine("native", true, "built in"),
            engine("onnxruntime", false, "not found"),
        ]);
        assert_eq!(
            text,
            "native       available    built in\nonnxruntime  unavailable  not found\n"
        );
    }

    #[test]
    fn an_adapter_in_four_lines() {
        let mut adapter = GpuAdapter {
            name: "Some GPU".to_owned(),
            kind: "integrated GPU",
            api: "vulkan",
            driver: "some driver 1.2".to_owned(),
            is_chosen: true,
            max_binding_bytes: 128 << 20,
            max_buffer_bytes: 256 << 20,
            workgroup_bytes: 16 << 10,
            max_invocations: 256,
            subgroup_sizes: (8, 32),
            features: vec!["f16", "subgroups"],
            self_test: Ok(1.5e-6),
        };
        assert_eq!(
            describe(&adapter),
            "\nSome GPU (integrated GPU, vulkan, some driver 1.2) - the one that wgpu takes\n  limits     128 MiB a binding, 256 MiB a \
             buffer; a workgroup: 16 KiB, 256 invocations in steps of 8 to 32\n  features   f16, subgroups\n  self-test  passed; \
             largest error 1.5e-6\n"
        );
        adapter.self_test = Err("it computes wrongly".to_owned());
        adapter.is_chosen = false;
        adapter.features.clear();
        let text = describe(&adapter);
        assert!(
            text.contains("not passed: it computes wrongly") && text.contains("features   none")
        );
        assert!(!text.contains("takes"));
    }
}
