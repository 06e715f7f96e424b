"""What a check costs with duoguard and with OpenVINO, in one run: `scripts/peers.sh openvino [BUNDLE...]`.

The same texts go through, one at a time and on one thread:
  duoguard native                      the C library through ctypes: normalising, tokenising, network, verdict
  onnxruntime (Python)                 tokenizers and ONNX Runtime on the bundle's own model.onnx
  openvino default                     tokenizers and OpenVINO on the network in floats, as it comes: bfloat16 where the CPU has it
  openvino int8                        the same, quantised by NNCF: static scales of activations, calibrated on the sentences of this folder
OpenVINO has a network for every length, so that all its shapes are known. Before anything is timed, logits are compared with ONNX Runtime's. Rounds
go by turns. Prints medians, spread and ratios, and appends them to `benches/record/<machine>/openvino.csv`.
"""

import json
import pathlib
import sys
import tempfile
import tomllib

import nncf
import numpy
import onnxruntime
import openvino
from tokenizers import Tokenizer

import floats
import turns
from turns import FIRST

ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "examples/python"), str(ROOT / "scripts")]
import duoguard  # noqa: E402
import record  # noqa: E402

TOKENS = [16, 64, 128, 256]
# How far logits may be from ONNX Runtime's, whose activations are rounded too. Static int8 rounds
# outliers with the rest: base's logits move by up to 4.2 so.
TOLERANCES = {"openvino default": 0.5, "openvino int8": 8}


class Bundle:
    def __init__(self, folder):
        self.folder, manifest = folder, json.loads((folder / "manifest.json").read_text())
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.prefix, self.suffix = (manifest.get(f"{part}_tokens", []) for part in ("prefix", "suffix"))

    def ids(self, text):
        return self.prefix + self.tokenizer.encode(text, add_special_tokens=False).ids + self.suffix

    def cut(self, text, tokens):
        """The beginning of a text, over and over, of so many tokens with those around it."""
        count = tokens - len(self.prefix) - len(self.suffix)
        long = " ".join([text] * (tokens // 8 + 1))
        encoding = self.tokenizer.encode(long, add_special_tokens=False)
        cut = long[: encoding.offsets[count - 1][1]]
        return cut if len(self.ids(cut)) == tokens else None


def openvino_networks(bundle, tokens, sentences):
    """Name -> what computes logits from so many ids."""
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        file.write(floats.network(bundle.folder, tokens).SerializeToString())
        file.flush()
        network = openvino.Core().read_model(file.name)
        # Ids of the sentences one behind the other, cut where the network's length ends.
        ids = [id for sentence in sentences for id in bundle.ids(sentence)]
        rows = [numpy.int64([ids[at : at + tokens]]) for at in range(0, len(ids) - tokens, tokens)]
        int8 = nncf.quantize(network.clone(), nncf.Dataset(rows), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(rows))
        found = {}
        for name, model in {"openvino default": network, "openvino int8": int8}.items():
            settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
            request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
            found[name] = lambda ids, request=request: request.infer([numpy.int64([ids])])[0][0]
        return found


def onnxruntime_network(bundle):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(bundle.folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    return lambda ids: session.run(None, {"input_ids": [ids]})[0][0]


def compare(networks, ids):
    """Refuses to time networks that say different things."""
    for name, tolerance in TOLERANCES.items():
        apart = numpy.abs(networks[name](ids) - networks["onnxruntime (Python)"](ids)).max()
        print(f"{len(ids):4} tokens  {name:22} logits within {apart:.3f} of ONNX Runtime's; at most {tolerance} is allowed")
        if not apart <= tolerance:
            raise SystemExit(f"{name} does not compute the same network")


def measure(bundle, software):
    sentences = [line.split("\t", 1)[1] for line in (ROOT / "benches/data/parallel.tsv").read_text().splitlines()]
    onnx, session = onnxruntime_network(bundle), duoguard.Model(bundle.folder).session("native", 1)
    rows = []
    for count in TOKENS:
        cut = next(cut for tokens in range(count, 0, -1) if (cut := bundle.cut(sentences[0], tokens)))
        ids = bundle.ids(cut)
        networks = {"onnxruntime (Python)": onnx, **openvino_networks(bundle, len(ids), sentences)}
        compare(networks, ids)
        checks = {FIRST: session.check}
        for name, run in networks.items():
            checks[name] = lambda text, run=run: 1 / (1 + numpy.exp(-run(bundle.ids(text))))
        rows += turns.rows(checks, cut, bundle.folder.name, count, software)
    return rows


def main():
    ours = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    engine = f"openvino {openvino.__version__.split('-')[0]}"
    software = {
        FIRST: ours,
        "onnxruntime (Python)": f"onnxruntime {onnxruntime.__version__}",
        "openvino default": engine,
        "openvino int8": f"{engine} with nncf {nncf.__version__}",
    }
    folders = sys.argv[1:] or [ROOT / "models/mini", ROOT / "models/base"]
    rows = [row for folder in folders for row in measure(Bundle(pathlib.Path(folder)), software)]
    record.append("openvino", rows)


main()
