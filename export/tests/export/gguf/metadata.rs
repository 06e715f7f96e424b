//! GGUF files whose metadata say what cannot be.

use super::file::{GgufFile, Item, text};
use super::{Case, check_refusals};

const CASES: &[Case] = &[
    (
        "no architecture",
        |f| f.remove("general.architecture"),
        &["general.architecture is missing"],
    ),
    (
        "architecture",
        |f| f.set("general.architecture", text("gemma3")),
        &["\"gemma3\"", "\"llama\" and \"qwen2\""],
    ),
    (
        "architecture type",
        |f| f.set("general.architecture", Item::U32(3)),
        &["general.architecture is 3; expected a string"],
    ),
    (
        "no layers",
        |f| f.remove("llama.block_count"),
        &["llama.block_count is missing"],
    ),
    (
        "heads by layer",
        |f| f.set("llama.attention.head_count", Item::I32s(vec![4, 4])),
        &["llama.attention.head_count is an array of 2 integers"],
    ),
    (
        "no heads",
        |f| f.set("llama.attention.head_count", Item::U32(0)),
        &["llama.attention.head_count is 0"],
    ),
    (
        "many layers",
        |f| f.set("llama.block_count", Item::U32(1 << 20)),
        &["blk.2.attn_norm.weight is missing"],
    ),
    (
        "uneven heads",
        |f| f.set("llama.attention.head_count", Item::U32(3)),
        &["not a multiple of num_attention_heads"],
    ),
    (
        "epsilon",
        |f| f.set("llama.attention.layer_norm_rms_epsilon", Item::F32(-1.0)),
        &["epsilon is -1; expected a positive number"],
    ),
    (
        "scaling",
        |f| f.set("llama.rope.scaling.type", text("yarn")),
        &["llama.rope.scaling.type is \"yarn\""],
    ),
    (
        "linear scaling",
        |f| f.set("llama.rope.scale_linear", Item::F32(4.0)),
        &["llama.rope.scale_linear is 4"],
    ),
    (
        "experts",
        |f| f.set("llama.expert_count", Item::U32(8)),
        &["llama.expert_count is 8"],
    ),
    (
        "unknown key",
        |f| f.set("llama.logit_scale", Item::F32(2.0)),
        &["llama.logit_scale is 2", "not known here"],
    ),
    (
        "key length",
        |f| f.set("llama.attention.key_length", Item::U32(32)),
        &["key_length is 32", "16"],
    ),
    (
        "vocabulary",
        |f| f.set("llama.vocab_size", Item::U32(60)),
        &[
            "token_embd.weight is [50, 64]",
            "the metadata ask for [60, 64]",
        ],
    ),
    (
        "no tokens",
        |f| f.remove("tokenizer.ggml.tokens"),
        &["tokenizer.ggml.tokens is missing"],
    ),
    (
        "no token types",
        |f| f.remove("tokenizer.ggml.token_type"),
        &["token_type is missing"],
    ),
    (
        "token types",
        |f| f.set("tokenizer.ggml.token_type", Item::I32s(vec![1])),
        &["token_type has 1 entries"],
    ),
    (
        "token type",
        |f| f.set("tokenizer.ggml.token_type", Item::I32s(vec![9; 50])),
        &["token_type is 9 for token 0"],
    ),
    (
        "same token",
        |f| {
            f.set(
                "tokenizer.ggml.tokens",
                Item::Texts(vec!["a".to_owned(); 50]),
            )
        },
        &["has \"a\" at 0 and at 1"],
    ),
    (
        "empty token",
        |f| {
            f.set(
                "tokenizer.ggml.tokens",
                Item::Texts(vec![String::new(); 50]),
            )
        },
        &["a token of 0 bytes at 0"],
    ),
    ("more tokens", |f| more_tokens(f), &["has id 50", "50 rows"]),
    (
        "tokenizer",
        |f| f.set("tokenizer.ggml.model", text("t5")),
        &["tokenizer.ggml.model is \"t5\"", "\"gpt2\""],
    ),
    (
        "splitting",
        |f| f.set("tokenizer.ggml.pre", text("tekken")),
        &["tokenizer.ggml.pre is \"tekken\"", "\"llama-bpe\""],
    ),
    (
        "no splitting",
        |f| f.remove("tokenizer.ggml.pre"),
        &["tokenizer.ggml.pre is missing"],
    ),
    (
        "no merges",
        |f| f.remove("tokenizer.ggml.merges"),
        &["tokenizer.ggml.merges is missing"],
    ),
    (
        "merge",
        |f| f.set("tokenizer.ggml.merges", Item::Texts(vec!["t".to_owned()])),
        &["has \"t\" at 0"],
    ),
    (
        "merge of no tokens",
        |f| f.set("tokenizer.ggml.merges", Item::Texts(vec!["t t".to_owned()])),
        &["\"tt\" is no token"],
    ),
    (
        "end of text",
        |f| f.set("tokenizer.ggml.add_eos_token", Item::Flag(1)),
        &["behind a text"],
    ),
    (
        "no first token",
        |f| f.set("tokenizer.ggml.add_bos_token", Item::Flag(1)),
        &["bos_token_id is missing"],
    ),
    (
        "first token",
        |f| {
            f.set("tokenizer.ggml.add_bos_token", Item::Flag(1));
            f.set("tokenizer.ggml.bos_token_id", Item::U32(70))
        },
        &["bos_token_id is 70, and there are 50"],
    ),
    (
        "no scores",
        |f| f.set("tokenizer.ggml.model", text("llama")),
        &["tokenizer.ggml.scores is missing"],
    ),
    (
        "scores",
        |f| {
            f.set("tokenizer.ggml.model", text("llama"));
            f.set("tokenizer.ggml.scores", Item::F32s(vec![f32::NAN; 50]))
        },
        &["scores has no finite number at 0"],
    ),
    (
        "no unknown token",
        |f| {
            f.set("tokenizer.ggml.model", text("llama"));
            f.set("tokenizer.ggml.scores", Item::F32s(vec![0.0; 50]))
        },
        &["does not mark one token as unknown"],
    ),
];

fn more_tokens(file: &mut GgufFile) {
    let tokens = (0..51).map(|i| format!("t{i}")).collect();
    file.set("tokenizer.ggml.tokens", Item::Texts(tokens));
    file.set("tokenizer.ggml.token_type", Item::I32s(vec![1; 51]));
    file.set("tokenizer.ggml.merges", Item::Texts(vec![]));
    file.set("llama.vocab_size", Item::U32(50));
}

#[test]
fn errors_name_what_is_wrong_in_the_metadata() {
    check_refusals(CASES);
}
