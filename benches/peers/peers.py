"""What a check costs with duoguard and with what people use today, in one run: `cargo xtask peers [BUNDLE] [CHECKPOINT]`.

The same texts go through, one at a time and on one thread:
  duoguard rten, duoguard onnxruntime  the C library through ctypes: normalising, tokenising, network, verdict
  onnxruntime (Python)                 tokenizers and ONNX Runtime on the bundle's own model.onnx
  transformers fp32, bf16              tokenizers and PyTorch on the checkpoint; without one, on random weights of the bundle's shape, whose
                                       cost is the same
Rounds go by turns, so that other work on the machine slows everybody. Prints medians, spread and ratios, and appends them to a dated CSV.
"""

import csv
import datetime
import json
import os
import pathlib
import statistics
import sys
import time

import onnxruntime
import torch
import transformers
from tokenizers import Tokenizer

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "examples/python"))
import duoguard  # noqa: E402

ROUNDS = 40
TOKENS = [16, 64, 128, 256]
FIRST = "duoguard rten"


def texts(tokenizer, text):
    """Beginnings of the text, over and over, of about so many tokens."""
    for count in TOKENS:
        encoding = tokenizer.encode(" ".join([text] * (count // 8)), add_special_tokens=False)
        yield text_of(encoding, " ".join([text] * (count // 8)), count)


def text_of(encoding, text, count):
    return text[: encoding.offsets[count - 1][1]]


def torch_model(bundle, checkpoint, dtype):
    kind = transformers.Qwen2ForSequenceClassification
    if checkpoint:
        return kind.from_pretrained(checkpoint, dtype=dtype).eval()
    shape = json.loads((bundle / "manifest.json").read_text())["architecture"]
    config = transformers.Qwen2Config(
        vocab_size=shape["vocabulary"], hidden_size=shape["hidden"], intermediate_size=shape["intermediate"],
        num_hidden_layers=shape["layers"], num_attention_heads=shape["heads"], num_key_value_heads=shape["kv_heads"],
        max_position_embeddings=shape["max_position"], num_labels=12, pad_token_id=None, tie_word_embeddings=True,
    )
    torch.manual_seed(1)
    return kind(config).to(dtype).eval()


def peers(bundle, checkpoint):
    """Name -> what checks a text."""
    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    ids = lambda text: tokenizer.encode(text, add_special_tokens=False).ids  # noqa: E731
    model = duoguard.Model(bundle)
    found = {}
    for engine in ("rten", "onnxruntime"):
        found[f"duoguard {engine}"] = model.session(engine, 1).check
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    network = onnxruntime.InferenceSession(str(bundle / "model.onnx"), options, providers=["CPUExecutionProvider"])
    name = network.get_inputs()[0].name
    found["onnxruntime (Python)"] = lambda text: network.run(None, {name: [ids(text)]})
    torch.set_num_threads(1)
    for kind, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        network_of_kind = torch_model(bundle, checkpoint, dtype)

        def check(text, network_of_kind=network_of_kind):
            with torch.inference_mode():
                return network_of_kind(input_ids=torch.tensor([ids(text)])).logits.sigmoid()

        found[f"transformers {kind}"] = check
    return tokenizer, found


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return os.uname().machine


def record(rows):
    name = f"{processor()}-{os.cpu_count()}-cores"
    plain = "".join(c.lower() if c.isascii() and c.isalnum() else "-" for c in name)
    folder = ROOT / "benches/record" / os.environ.get("DUOGUARD_MACHINE", plain)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "peers.csv"
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        if new:
            writer.writeheader()
        writer.writerows(rows)
    print(f"appended to {path.relative_to(ROOT)}")


def main():
    bundle = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "models/mini")
    checkpoint = sys.argv[2] if len(sys.argv) > 2 else None
    tokenizer, found = peers(bundle, checkpoint)
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    versions = f"onnxruntime {onnxruntime.__version__}, torch {torch.__version__}, transformers {transformers.__version__}"
    weights = "the checkpoint's weights" if checkpoint else "random weights of the bundle's shape"
    print(f"{bundle.name}, {today}, {processor()}, one thread; {versions}, {weights}; median of {ROUNDS} [10th, 90th percentile], ms")
    text = (ROOT / "benches/data/parallel.tsv").read_text().splitlines()[0].split("\t", 1)[1]
    rows = []
    for count, cut in zip(TOKENS, texts(tokenizer, text)):
        times = {name: [] for name in found}
        for _ in range(ROUNDS + 3):
            for name, check in found.items():
                started = time.perf_counter()
                check(cut)
                times[name].append((time.perf_counter() - started) * 1e3)
        medians = {name: statistics.median(of[3:]) for name, of in times.items()}
        for name, of in times.items():
            low, *_, high = statistics.quantiles(of[3:], n=10)
            ratio = medians[name] / medians[FIRST]
            print(f"{count:4} tokens  {name:22} {medians[name]:9.3f} [{low:.3f}, {high:.3f}]  {ratio:6.2f} times {FIRST}")
            rows.append(dict(
                date=today, bundle=bundle.name, tokens=count, peer=name, p50_ms=f"{medians[name]:.4f}", p10_ms=f"{low:.4f}",
                p90_ms=f"{high:.4f}", ratio=f"{ratio:.3f}", versions=versions,
            ))
    record(rows)


main()
