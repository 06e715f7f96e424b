//! The names of tensors: those of GGUF, and those of a Hugging Face folder.

use crate::checkpoint::{EMBEDDING, HEAD, NORM, SCORE};

/// The head of a classifier has one of two names, of which the first is what converters write for
/// one linear layer.
const OUTSIDE: [(&str, &str); 5] = [
    ("token_embd.weight", EMBEDDING),
    ("output_norm.weight", NORM),
    ("output.weight", HEAD),
    ("cls.output.weight", SCORE),
    ("cls.weight", SCORE),
];

const IN_BLOCK: [(&str, &str); 9] = [
    ("attn_norm", "input_layernorm"),
    ("ffn_norm", "post_attention_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// What a Hugging Face folder calls a tensor; `None` for one that it has no name for.
pub(super) fn hugging_face_name(gguf: &str) -> Option<String> {
    if let Some((_, name)) = OUTSIDE.iter().find(|(outside, _)| *outside == gguf) {
        return Some((*name).to_owned());
    }
    let (block, rest) = gguf.strip_prefix("blk.")?.split_once('.')?;
    let is_number = !block.is_empty() && block.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = is_number && (block == "0" || !block.starts_with('0'));
    let (part, kind) = rest.rsplit_once('.')?;
    let is_known = is_plain && matches!(kind, "weight" | "bias");
    let (_, name) = IN_BLOCK.iter().find(|(known, _)| *known == part)?;
    is_known.then(|| format!("model.layers.{block}.{name}.{kind}"))
}

/// What GGUF calls the tensor that a Hugging Face folder calls `name`.
pub(crate) fn gguf_name(name: &str) -> String {
    if let Some((gguf, _)) = OUTSIDE.iter().find(|(_, outside)| *outside == name) {
        return (*gguf).to_owned();
    }
    let in_block = || {
        let (layer, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
        let (part, kind) = rest.rsplit_once('.')?;
        let (gguf, _) = IN_BLOCK.iter().find(|(_, known)| *known == part)?;
        Some(format!("blk.{layer}.{gguf}.{kind}"))
    };
    in_block().unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        let names = [
            ("token_embd.weight", "model.embed_tokens.weight"),
            ("output_norm.weight", "model.norm.weight"),
            (
                "blk.12.attn_q.bias",
                "model.layers.12.self_attn.q_proj.bias",
            ),
            (
                "blk.0.ffn_norm.weight",
                "model.layers.0.post_attention_layernorm.weight",
            ),
        ];
        for (gguf, other) in names {
            assert_eq!(hugging_face_name(gguf).as_deref(), Some(other));
            assert_eq!(gguf_name(other), gguf);
        }
        for name in [
            "blk.01.attn_q.weight",
            "blk.x.attn_q.weight",
            "blk.0.attn_q.scale",
            "blk.0.attn_q_norm.weight",
            "rope_freqs.weight",
            "",
        ] {
            assert_eq!(hugging_face_name(name), None, "{name}");
        }
    }
}
