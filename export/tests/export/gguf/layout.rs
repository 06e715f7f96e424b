//! GGUF files that are cut, or whose header, table or tensors are not what they must be.

use duoguard_export::checkpoint::Checkpoint;

use super::file::{Item, language_model, text};
use super::{Case, add, check_refusals, refusal};
use crate::support::Family;

const CASES: &[Case] = &[
    ("magic", |f| f.magic = *b"GGML", &["not a GGUF file"]),
    (
        "version",
        |f| f.version = 1,
        &["GGUF version 1", "version 2 or 3"],
    ),
    (
        "big-endian",
        |f| f.version = 3_u32.swap_bytes(),
        &["big-endian"],
    ),
    (
        "tensors",
        |f| f.claimed[0] = 1 << 60,
        &["number of tensors", "at most 65536"],
    ),
    (
        "keys",
        |f| f.claimed[1] = 1 << 60,
        &["number of keys", "at most 65536"],
    ),
    (
        "negative",
        |f| f.claimed[1] = u64::MAX - 5,
        &["tokenizer.ggml.model has 8 dimensions"],
    ),
    (
        "value type",
        |f| f.set("a", Item::Raw(13, vec![])),
        &["a is of the value type 13"],
    ),
    (
        "boolean",
        |f| f.set("a", Item::Flag(2)),
        &["a is the boolean 2"],
    ),
    (
        "long string",
        |f| f.set("a", Item::Raw(8, vec![255; 8])),
        &["a is a string of 18446744073709551615"],
    ),
    (
        "no UTF-8",
        |f| f.set("a", Item::Raw(8, vec![1, 0, 0, 0, 0, 0, 0, 0, 255])),
        &["a is no UTF-8"],
    ),
    (
        "long array",
        |f| f.set("a", Item::Raw(9, [&[8, 0, 0, 0], &[255; 8][..]].concat())),
        &["a is an array of 18446744073709551615"],
    ),
    (
        "nesting",
        |f| f.set("a", Item::Raw(9, nested(9))),
        &["a has arrays within arrays"],
    ),
    (
        "twice",
        |f| {
            f.keys
                .push(("general.architecture".to_owned(), text("qwen2")))
        },
        &["general.architecture stands twice"],
    ),
    (
        "alignment",
        |f| f.set("general.alignment", Item::U32(48)),
        &["general.alignment is 48"],
    ),
    (
        "parts",
        |f| f.set("split.count", Item::U32(3)),
        &["split.count is 3", "merge"],
    ),
    (
        "types",
        |f| f.tensor("blk.0.ffn_up.weight").kind = 19,
        &["tensor blk.0.ffn_up.weight is of type IQ1_S", "Q4_K"],
    ),
    (
        "unknown type",
        |f| f.tensor("blk.0.ffn_up.weight").kind = 99,
        &["number 99"],
    ),
    (
        "rows",
        |f| f.tensor("blk.0.ffn_down.weight").kind = 8,
        &[
            "blk.0.ffn_down.weight is [64, 40] of type Q8_0",
            "multiple of 32",
        ],
    ),
    (
        "dimensions",
        |f| f.tensor("output_norm.weight").dimensions = vec![64, 1, 1, 1, 1],
        &["output_norm.weight has 5 dimensions"],
    ),
    (
        "no dimensions",
        |f| f.tensor("output_norm.weight").dimensions = vec![],
        &["output_norm.weight has 0 dimensions"],
    ),
    (
        "zero",
        |f| f.tensor("output_norm.weight").dimensions = vec![0],
        &["output_norm.weight has a dimension that is 0"],
    ),
    (
        "overflow",
        |f| f.tensor("output_norm.weight").dimensions = vec![1 << 62, 64],
        &["output_norm.weight is", "damaged"],
    ),
    (
        "outside",
        |f| f.tensor("output_norm.weight").offset = Some(1 << 40),
        &["output_norm.weight has 256 bytes at offset 1099511627776"],
    ),
    (
        "far outside",
        |f| f.tensor("output_norm.weight").offset = Some(u64::MAX - 31),
        &["output_norm.weight", "get the whole file again"],
    ),
    (
        "between",
        |f| f.tensor("output_norm.weight").offset = Some(4),
        &["output_norm.weight begins at offset 4"],
    ),
    (
        "over another",
        |f| f.tensor("output_norm.weight").offset = Some(32),
        &["lie over each other"],
    ),
    (
        "on another",
        |f| f.tensor("output_norm.weight").offset = Some(0),
        &["the same offset"],
    ),
    (
        "tensor twice",
        |f| f.tensors.push(f.tensors[0].clone()),
        &["is listed twice"],
    ),
    (
        "tensor missing",
        |f| f.tensors.retain(|t| t.name != "blk.1.ffn_up.weight"),
        &["tensor blk.1.ffn_up.weight is missing"],
    ),
    (
        "shape",
        |f| f.tensor("output_norm.weight").dimensions = vec![8, 8],
        &["output_norm.weight is [8, 8]"],
    ),
    (
        "unknown tensor",
        |f| f.tensor("output_norm.weight").name = "blk.0.attn_q_norm.weight".to_owned(),
        &["blk.0.attn_q_norm.weight is none"],
    ),
    (
        "bias",
        |f| add(f, "blk.0.attn_q.bias", &[0.0; 64]),
        &["blk.0.attn_q.bias is none that this network has"],
    ),
    (
        "layer too many",
        |f| add(f, "blk.2.attn_norm.weight", &[0.0; 64]),
        &["blk.2.attn_norm.weight is none that this network has"],
    ),
    (
        "frequencies",
        |f| {
            add(
                f,
                "rope_freqs.weight",
                &[1.0, 1.0, 1.0, 1.0, 2.0, 3.0, 7.0, 8.0],
            )
        },
        &["rope_freqs.weight has", "Llama 3's scaling by 8"],
    ),
    (
        "number of frequencies",
        |f| add(f, "rope_freqs.weight", &[1.0; 4]),
        &["rope_freqs.weight is [4]; expected [8]"],
    ),
    (
        "not finite",
        |f| f.tensor("output_norm.weight").bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes()),
        &["output_norm.weight has a value that is not a finite number, at index 0"],
    ),
];

fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..depth {
        bytes.extend(9_u32.to_le_bytes());
        bytes.extend(1_u64.to_le_bytes());
    }
    bytes.extend(0_u32.to_le_bytes());
    bytes.extend(1_u64.to_le_bytes());
    bytes.push(0);
    bytes
}

#[test]
fn errors_name_what_is_wrong_in_a_file() {
    check_refusals(CASES);
}

#[test]
fn files_cut_anywhere_are_refused() {
    let bytes = language_model(Family::Llama).1.bytes();
    let header = 3000.min(bytes.len());
    for length in (0..header)
        .step_by(7)
        .chain([bytes.len() / 2, bytes.len() - 64])
    {
        let message = refusal(&bytes[..length]);
        assert!(
            message.contains("get it again") || message.contains("get the whole"),
            "{length}: {message}"
        );
    }
}

#[test]
fn files_with_any_byte_of_the_header_changed_are_refused_or_read() {
    let bytes = language_model(Family::Qwen2).1.bytes();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    for at in (0..2000).step_by(3) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(&path, bytes).unwrap();
        if let Err(error) = Checkpoint::open_language_model(&path) {
            assert!(error.to_string().contains("model.gguf: "), "{error}");
        }
    }
}
