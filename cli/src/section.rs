//! A free-form part of a manifest, for people.

use std::fmt::Write as _;

use serde_json::Value;

/// Adds the part as indented JSON.
pub(crate) fn describe(text: &mut String, title: &str, value: &Value) {
    if value.is_null() {
        let _ = writeln!(text, "{title}: not stated");
        return;
    }
    let _ = writeln!(text, "{title}:");
    for line in format!("{value:#}").lines() {
        let _ = writeln!(text, "  {line}");
    }
}
