#!/usr/bin/env python3
"""Measures a random checkpoint of a real shape: parity with `transformers`, export, memory and speed.

    scripts/real-shape.sh qwen2.5-0.5b TOKENIZER.json [SCHEME]

The weights are random and stored as bfloat16. Parity is judged by `duoguard export` itself, on golden.json.
"""

import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import torch
import transformers
from tokenizers import Tokenizer
from transformers import (
    LlamaConfig,
    LlamaForSequenceClassification,
    Qwen2Config,
    Qwen2ForSequenceClassification,
)

LENGTHS = [1, 17, 128, 512, 2048]
TOKENS = 128
RUNS = 15
TEXT = (
    "How do I bake bread at home? Comment faire du pain à la maison ? Wie backe ich Brot zu Hause? ¿Cómo se hace pan en casa? "
    "怎样在家里做面包？ Как испечь хлеб дома? "
)
PEAK = """
import json, resource, subprocess, sys, time
started = time.monotonic()
status = subprocess.run(sys.argv[2:]).returncode
with open(sys.argv[1], "w") as file:
    json.dump([status, time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024], file)
"""


def shape(name):
    common = dict(num_labels=12, pad_token_id=None, tie_word_embeddings=True, dtype="bfloat16")
    if name == "qwen2.5-0.5b":
        config = Qwen2Config(
            vocab_size=151936, hidden_size=896, intermediate_size=4864, num_hidden_layers=24, num_attention_heads=14,
            num_key_value_heads=2, max_position_embeddings=32768, rms_norm_eps=1e-6,
            rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}, **common,
        )
        return config, Qwen2ForSequenceClassification, 1
    if name == "llama-3.2-1b":
        rope = dict(
            rope_type="llama3", rope_theta=500000.0, factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0,
            original_max_position_embeddings=8192,
        )
        config = LlamaConfig(
            vocab_size=128256, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32,
            num_key_value_heads=8, max_position_embeddings=131072, rms_norm_eps=1e-5, rope_parameters=rope, **common,
        )
        return config, LlamaForSequenceClassification, 3
    sys.exit(f"no shape {name}; expected qwen2.5-0.5b or llama-3.2-1b")


def make(name, tokenizer, folder):
    """Writes the checkpoint, with the logits that fp32 gives on its bfloat16 weights."""
    config, kind, shards = shape(name)
    torch.manual_seed(3)
    model = kind(config).eval()
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if "norm" in parameter_name:
                parameter.uniform_(0.5, 1.5)
            elif parameter_name.endswith("bias"):
                parameter.normal_(0.0, 0.1)
    model = model.to(torch.bfloat16)
    size = sum(p.numel() for p in model.parameters()) * 2
    model.save_pretrained(folder, max_shard_size=size // shards + 300_000_000 * (shards > 1) if shards > 1 else "50GB")
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    # Loaded again: turning the model itself back to fp32 would leave its rotary frequencies
    # rounded to bfloat16.
    model = kind.from_pretrained(folder, dtype=torch.float32).eval()
    ids = Tokenizer.from_file(str(tokenizer)).encode(TEXT * 80, add_special_tokens=False).ids
    if max(ids) >= config.vocab_size:
        ids = [i % config.vocab_size for i in ids]
    cases = []
    with torch.no_grad():
        for length in LENGTHS:
            logits = model(input_ids=torch.tensor([ids[:length]])).logits[0]
            cases.append({"input_ids": ids[:length], "logits": [float(x) for x in logits]})
    (folder / "golden.json").write_text(json.dumps({"tolerance": 1e-4, "cases": cases}))


def measured(command):
    """Runs a command, which may print; returns its seconds and its peak memory in MB."""
    # By way of a small process: a child's peak counts the memory of what it was forked from.
    with tempfile.NamedTemporaryFile() as file:
        subprocess.run([sys.executable, "-c", PEAK, file.name, *command], check=True)
        status, seconds, peak = json.load(file)
    if status not in (0, 1):
        sys.exit(f"{' '.join(map(str, command))} failed")
    return seconds, peak


def folder_mb(folder):
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6


def transformers_ms(folder, dtype, ids):
    _, kind, _ = shape(sys.argv[1])
    model = kind.from_pretrained(folder, dtype=dtype).eval()
    batch, times = torch.tensor([ids]), []
    with torch.no_grad():
        for _ in range(RUNS):
            started = time.monotonic()
            model(input_ids=batch)
            times.append((time.monotonic() - started) * 1e3)
    return statistics.median(times[2:])


def main():
    name, tokenizer, program, work = sys.argv[1], *map(pathlib.Path, sys.argv[2:5])
    scheme = sys.argv[5] if len(sys.argv) > 5 else "int8"
    checkpoint, bundle = work / name, work / f"{name}-{scheme}"
    torch.set_num_threads(1)
    if not (checkpoint / "golden.json").exists():
        shutil.rmtree(checkpoint, ignore_errors=True)
        checkpoint.mkdir(parents=True)
        make(name, tokenizer, checkpoint)
    size = folder_mb(checkpoint)
    print(f"{name}, random weights: checkpoint {size:.0f} MB; torch {torch.__version__}, transformers {transformers.__version__}")

    command = [program, "export", "--force", "--quantize", scheme, checkpoint, bundle]
    seconds, peak = measured(command)
    print(f"export     {seconds:.0f} s, peak memory {peak:.0f} MB = {peak / size:.2f} x the checkpoint")
    print(f"bundle     {folder_mb(bundle):.0f} MB, {scheme}")

    # As many words as make 128 tokens, so that the text is cut at a token.
    reader = Tokenizer.from_file(str(tokenizer))
    ids = reader.encode(TEXT * 8, add_special_tokens=False).ids[:TOKENS]
    text = reader.decode(ids)
    times = {}
    for kind, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        times[f"transformers {kind}"] = transformers_ms(checkpoint, dtype, ids)
    for engine in ("native", "onnxruntime"):
        command = [program, "check", "--json", "--language", "en", "--engine", engine, "--model", bundle]
        load, peak = measured([*command, "a"])
        lines = subprocess.run([*command, "-"], input=f"{text}\n" * RUNS, capture_output=True, text=True).stdout
        rows = [json.loads(line) for line in lines.splitlines()]
        tokens = {row["tokens"] for row in rows}
        times[engine] = statistics.median([row["elapsed_ms"] for row in rows][2:])
        print(f"{engine:12} opens and checks one word in {load * 1e3:.0f} ms, peak memory {peak:.0f} MB; texts of {tokens} tokens")
    for kind, ms in times.items():
        ratios = ", ".join(f"{times[f'transformers {p}'] / ms:.2f} x {p}" for p in ("fp32", "bf16"))
        print(f"{kind:18} {ms:8.1f} ms for {TOKENS} tokens, one thread: speed {ratios}")


main()
