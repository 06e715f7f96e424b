//! The table of engines. An engine is a file of this folder and a row here.

use super::entry::EngineEntry;
#[cfg(test)]
use super::fake;
use super::native;
#[cfg(feature = "onnxruntime")]
use super::onnxruntime;
#[cfg(feature = "wgpu")]
use super::wgpu;

/// All engines, in the order in which [`EngineChoice::Auto`](super::EngineChoice::Auto) tries them.
pub(super) const ENGINES: &[EngineEntry] = &[
    native::ENTRY,
    #[cfg(feature = "onnxruntime")]
    onnxruntime::ENTRY,
    #[cfg(feature = "wgpu")]
    wgpu::ENTRY,
    #[cfg(test)]
    fake::ENTRY,
];

/// The row of an engine.
pub(super) fn find(name: &str) -> Option<&'static EngineEntry> {
    ENGINES.iter().find(|entry| entry.name == name)
}

/// One engine, as found on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineInfo {
    /// The name that [`EngineChoice::Named`](super::EngineChoice::Named) takes.
    pub name: String,
    /// Whether a session can be opened on it.
    pub available: bool,
    /// What was found, or why not and how to get it.
    pub detail: String,
}

/// The names of all engines that this build knows, in the order of [`engines`]; unlike there, none
/// is looked for.
pub fn engine_names() -> impl ExactSizeIterator<Item = &'static str> {
    ENGINES.iter().map(|entry| entry.name)
}

/// All engines that this build knows, with their state on this machine, in the order in which
/// [`EngineChoice::Auto`](super::EngineChoice::Auto) tries them.
pub fn engines() -> Vec<EngineInfo> {
    engine_names().filter_map(engine_info).collect()
}

/// One engine's state on this machine; `None` if this build does not know the name.
pub fn engine_info(name: &str) -> Option<EngineInfo> {
    let entry = find(name)?;
    let found = (entry.available)();
    Some(EngineInfo {
        name: entry.name.to_owned(),
        available: found.is_ok(),
        detail: found.unwrap_or_else(|reason| reason),
    })
}
