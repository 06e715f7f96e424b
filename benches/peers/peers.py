"""What a check costs with duoguard and with what people use today, in one run: `scripts/peers.sh transformers [BUNDLE [CHECKPOINT]]`.

The same texts go through, one at a time and on one thread:
  duoguard native, duoguard onnxruntime  the C library through ctypes: normalising, tokenising, network, verdict
  onnxruntime (Python)                 tokenizers and ONNX Runtime on the bundle's own model.onnx
  transformers fp32, bf16              tokenizers and PyTorch
  llama.cpp f16, q8_0                  tokenizers and llama-cpp-python, on a GGUF file of the network
The last two run the checkpoint, or without one the bundle's own network with its weights widened. Before anything is timed, the logits of all are
compared. Rounds go by turns, so that other work on the machine slows everybody. Prints medians, spread and ratios, and appends them to
`benches/record/<machine>/peers.csv`.
"""

import pathlib
import sys
import tempfile
import tomllib

import numpy
import onnxruntime
import torch
import transformers
from tokenizers import Tokenizer

import llama
import turns
from network import Network
from turns import ROUNDS

ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "examples/python"), str(ROOT / "scripts")]
import duoguard  # noqa: E402
import record  # noqa: E402

TOKENS = [16, 64, 128, 256]
REFERENCE = "transformers fp32"
# How far logits may be from the reference's. What differs is what is rounded: all, weights,
# weights and activations, activations by tensor.
TOLERANCES = {"transformers bf16": 0.1, "llama.cpp f16": 0.01, "llama.cpp q8_0": 0.1, "onnxruntime (Python)": 0.2}


def texts(tokenizer, text):
    """Beginnings of the text, over and over, of about so many tokens."""
    for count in TOKENS:
        long = " ".join([text] * (count // 8))
        encoding = tokenizer.encode(long, add_special_tokens=False)
        yield long[: encoding.offsets[count - 1][1]]


def torch_model(network, checkpoint, dtype):
    kind = transformers.Qwen2ForSequenceClassification
    if checkpoint:
        return kind.from_pretrained(checkpoint, dtype=dtype).eval()
    shape = network.shape
    config = transformers.Qwen2Config(
        vocab_size=shape["vocabulary"], hidden_size=shape["hidden"], intermediate_size=shape["intermediate"],
        num_hidden_layers=shape["layers"], num_attention_heads=shape["heads"], num_key_value_heads=shape["kv_heads"],
        max_position_embeddings=shape["max_position"], num_labels=network.labels, pad_token_id=None, tie_word_embeddings=True,
        rms_norm_eps=shape["norm_eps"], rope_parameters={"rope_type": "default", "rope_theta": shape["rope_theta"]},
    )
    model = kind(config)
    model.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in network.tensors.items()})
    return model.to(dtype).eval()


def peers(bundle, checkpoint, folder):
    """The tokenizer; name -> what checks a text; name -> what computes logits from ids."""
    network = Network.of_checkpoint(torch_model(None, checkpoint, torch.float32)) if checkpoint else Network.of_bundle(bundle)
    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    model = duoguard.Model(bundle)
    checks = {f"duoguard {engine}": model.session(engine, 1).check for engine in ("native", "onnxruntime")}
    logits = {}

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(bundle / "model.onnx"), options, providers=["CPUExecutionProvider"])
    argument = session.get_inputs()[0].name
    logits["onnxruntime (Python)"] = lambda ids: session.run(None, {argument: [ids]})[0][0]

    torch.set_num_threads(1)
    for kind, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):

        def run(ids, model=torch_model(network, checkpoint, dtype)):
            with torch.inference_mode():
                return model(input_ids=torch.tensor([ids])).logits[0].float().numpy()

        logits[f"transformers {kind}"] = run
    for kind in ("F16", "Q8_0"):
        logits[f"llama.cpp {kind.lower()}"] = llama.Classifier(network, kind, folder, max(TOKENS)).logits

    for name, run in logits.items():

        def check(text, run=run):
            return 1 / (1 + numpy.exp(-run(tokenizer.encode(text, add_special_tokens=False).ids)))

        checks[name] = check
    return tokenizer, checks, logits


def compare(tokenizer, logits, cuts):
    """Refuses to time networks that say different things."""
    for name, tolerance in TOLERANCES.items():
        worst = 0
        for cut in cuts:
            ids = tokenizer.encode(cut, add_special_tokens=False).ids
            worst = max(worst, numpy.abs(logits[name](ids) - logits[REFERENCE](ids)).max())
        print(f"{name:22} logits within {worst:.4f} of {REFERENCE}'s; at most {tolerance} is allowed")
        if not worst <= tolerance:
            raise SystemExit(f"{name} does not compute the same network")


def versions():
    """Peer -> the software that it is."""
    ours = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    onnx, transformer = f"onnxruntime {onnxruntime.__version__}", f"transformers {transformers.__version__}"
    return {
        "duoguard native": ours,
        "duoguard onnxruntime": f"{ours} with {onnx}",
        "onnxruntime (Python)": onnx,
        **{f"transformers {kind}": f"{transformer} with torch {torch.__version__}" for kind in ("fp32", "bf16")},
        **{f"llama.cpp {kind}": llama.version() for kind in ("f16", "q8_0")},
    }


def main():
    bundle = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "models/mini")
    checkpoint = sys.argv[2] if len(sys.argv) > 2 else None
    text = (ROOT / "benches/data/parallel.tsv").read_text().splitlines()[0].split("\t", 1)[1]
    with tempfile.TemporaryDirectory() as folder:
        tokenizer, checks, logits = peers(bundle, checkpoint, pathlib.Path(folder))
    cuts = list(texts(tokenizer, text))
    compare(tokenizer, logits, cuts)
    print(f"{bundle.name}, one thread; median of {ROUNDS} [10th, 90th percentile], ms")
    software, rows = versions(), []
    for count, cut in zip(TOKENS, cuts):
        rows += turns.rows(checks, cut, bundle.name, count, software)
    record.append("peers", rows)


main()
