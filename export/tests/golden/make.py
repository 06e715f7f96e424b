#!/usr/bin/env python3
"""Makes the golden checkpoint: a tiny random Qwen2 classifier and the logits that `transformers` computes for it.

    pip install torch transformers
    python export/tests/golden/make.py          # rewrites export/tests/golden/checkpoint/

Every weight is random, norms and biases too, so that none of them can be forgotten or swapped without a test failing.
"""

import json
import pathlib
import random

import torch
import transformers
from transformers import Qwen2Config, Qwen2ForSequenceClassification

FOLDER = pathlib.Path(__file__).parent / "checkpoint"
VOCABULARY = 61
LENGTHS = [1, 2, 7, 33, 64]


def main():
    torch.manual_seed(7)
    random.seed(7)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=34,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0},
        rms_norm_eps=1e-5,
        num_labels=12,
        pad_token_id=None,
        tie_word_embeddings=True,
    )
    model = Qwen2ForSequenceClassification(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight") or "layernorm" in name:
                parameter.uniform_(0.5, 1.5)
            else:
                parameter.normal_(0.0, 0.02 if name.endswith("bias") else 0.2)
        cases = []
        for length in LENGTHS:
            ids = [random.randrange(VOCABULARY) for _ in range(length)]
            logits = model(input_ids=torch.tensor([ids])).logits[0]
            cases.append({"input_ids": ids, "logits": [float(x) for x in logits]})
    FOLDER.mkdir(exist_ok=True)
    model.save_pretrained(FOLDER)
    (FOLDER / "golden.json").write_text(json.dumps({"tolerance": 1e-4, "cases": cases}) + "\n")
    tokenizer = {
        "version": "1.0",
        "model": {
            "type": "WordLevel",
            "vocab": {f"w{i}": i for i in range(VOCABULARY)},
            "unk_token": "w0",
        },
        "pre_tokenizer": {"type": "WhitespaceSplit"},
    }
    (FOLDER / "tokenizer.json").write_text(json.dumps(tokenizer) + "\n")
    print(f"torch {torch.__version__}, transformers {transformers.__version__}")


main()
