#!/usr/bin/env python3
"""Makes the golden checkpoints: tiny random classifiers, and the logits that `transformers` computes for them.

    scripts/golden.sh          # installs PyTorch and transformers, and rewrites export/tests/golden/{qwen2,llama}/

Every weight is random, norms and biases too, so that none of them can be forgotten or swapped without a test failing.
"""

import json
import pathlib
import random

import torch
import transformers
from transformers import (
    LlamaConfig,
    LlamaForSequenceClassification,
    Qwen2Config,
    Qwen2ForSequenceClassification,
)

FOLDER = pathlib.Path(__file__).parent
VOCABULARY = 61
SHAPE = dict(
    vocab_size=VOCABULARY,
    hidden_size=64,
    intermediate_size=34,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    rms_norm_eps=1e-5,
    num_labels=12,
    pad_token_id=None,
    tie_word_embeddings=True,
)
# Of the eight frequencies, this scaling keeps some, divides some and blends some.
LLAMA3 = dict(
    rope_type="llama3",
    rope_theta=500.0,
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=64,
)


def qwen2():
    rope = {"rope_type": "default", "rope_theta": 500.0}
    config = Qwen2Config(**SHAPE, max_position_embeddings=64, rope_parameters=rope)
    make("qwen2", Qwen2ForSequenceClassification(config), [1, 2, 7, 33, 64], None, "5GB")


def llama():
    config = LlamaConfig(**SHAPE, max_position_embeddings=512, rope_parameters=LLAMA3)
    # As Llama's own tokenizer does, this one puts a token before every text; and the weights are
    # in several files.
    make("llama", LlamaForSequenceClassification(config), [1, 2, 33, 200, 512], "w60", "60KB")


def make(name, model, lengths, prefix, shard_size):
    model = model.eval()
    folder = FOLDER / name
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter_name.endswith("norm.weight") or "layernorm" in parameter_name:
                parameter.uniform_(0.5, 1.5)
            else:
                parameter.normal_(0.0, 0.02 if parameter_name.endswith("bias") else 0.2)
        cases = []
        for length in lengths:
            ids = [random.randrange(VOCABULARY) for _ in range(length)]
            logits = model(input_ids=torch.tensor([ids])).logits[0]
            cases.append({"input_ids": ids, "logits": [float(x) for x in logits]})
    folder.mkdir(exist_ok=True)
    model.save_pretrained(folder, max_shard_size=shard_size)
    (folder / "golden.json").write_text(json.dumps({"tolerance": 1e-4, "cases": cases}) + "\n")
    tokenizer = {
        "version": "1.0",
        "model": {
            "type": "WordLevel",
            "vocab": {f"w{i}": i for i in range(VOCABULARY)},
            "unk_token": "w0",
        },
        "pre_tokenizer": {"type": "WhitespaceSplit"},
    }
    if prefix:
        token = {"SpecialToken": {"id": prefix, "type_id": 0}}
        tokenizer["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [token, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [token, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {prefix: {"id": prefix, "ids": [int(prefix[1:])], "tokens": [prefix]}},
        }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer) + "\n")


def main():
    for part in (qwen2, llama):
        torch.manual_seed(7)
        random.seed(7)
        part()
    print(f"torch {torch.__version__}, transformers {transformers.__version__}")


main()
