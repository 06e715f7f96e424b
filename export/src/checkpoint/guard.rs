//! What the trainer leaves beside the weights.

use serde::Deserialize;

/// `golden.json`: logits that the trainer's own forward pass computed.
#[derive(Clone, Debug, Deserialize)]
pub struct Golden {
    /// The largest absolute difference that is allowed.
    pub tolerance: f64,
    /// Inputs and their logits.
    pub cases: Vec<GoldenCase>,
}

/// One input and its logits.
#[derive(Clone, Debug, Deserialize)]
pub struct GoldenCase {
    /// Token ids.
    pub input_ids: Vec<u32>,
    /// One logit per label.
    pub logits: Vec<f32>,
}

/// `duoguard.json`: what the bundle's manifest takes over from the trainer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// The model's name.
    pub name: Option<String>,
    /// Tokens in one window.
    pub window_tokens: Option<usize>,
    /// Tokens that neighbouring windows share.
    pub overlap_tokens: Option<usize>,
    /// The categories, in the order of the logits.
    pub categories: Option<Vec<String>>,
    /// The languages, as BCP-47 tags, of the last logits, which follow those of the categories.
    #[serde(default)]
    pub languages: Vec<String>,
    /// Text before every window, such as `query:`, tokenised by itself.
    pub prefix_text: Option<String>,
    /// Data, licences, recipe, metrics.
    #[serde(default)]
    pub provenance: serde_json::Map<String, serde_json::Value>,
}
