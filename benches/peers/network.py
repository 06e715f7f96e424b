"""The network of a bundle or of a checkpoint as float32 arrays, under the names that Hugging Face gives them.

What a bundle holds as int8 is widened, so that every peer computes the very network that the bundle has.
"""

import json
import struct

import numpy

NORM_EPS = 1e-6  # Of every network that the trainer makes. The comparison of logits would show another.
TYPES = {"F32": "<f4", "I8": "<i1"}


class Network:
    """`shape` is the manifest's `architecture`, with `norm_eps` and `rope_theta`; `tensors` has the arrays by name."""

    def __init__(self, shape, tensors):
        self.shape, self.tensors = shape, tensors
        self.labels = len(tensors["score.weight"])

    @classmethod
    def of_bundle(cls, folder):
        stored = _safetensors(folder / "weights.data")
        shape = json.loads((folder / "manifest.json").read_text())["architecture"]
        # The angle of the second position's first but one pair is theta^(-2 / head size).
        head = shape["hidden"] // shape["heads"]
        angle = numpy.arctan2(stored["rotary.sin"][1, 1], stored["rotary.cos"][1, 1])
        shape = dict(shape, norm_eps=NORM_EPS, rope_theta=round(float(angle) ** (-head / 2)))
        return cls(shape, _named(stored, shape))

    @classmethod
    def of_checkpoint(cls, model):
        config = model.config
        rope = getattr(config, "rope_parameters", None) or {"rope_theta": config.rope_theta}
        shape = dict(
            model_type=config.model_type, layers=config.num_hidden_layers, hidden=config.hidden_size, heads=config.num_attention_heads,
            kv_heads=config.num_key_value_heads, intermediate=config.intermediate_size, vocabulary=config.vocab_size,
            max_position=config.max_position_embeddings, norm_eps=config.rms_norm_eps, rope_theta=rope["rope_theta"],
        )
        return cls(shape, {name: tensor.float().numpy() for name, tensor in model.state_dict().items()})


def _safetensors(path):
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    found = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in TYPES:
            raise SystemExit(f"{path}: {name} is {entry['dtype']}; peers reads {', '.join(TYPES)}: name the checkpoint, too")
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        found[name] = numpy.frombuffer(data[begin:end], TYPES[entry["dtype"]]).reshape(entry["shape"])
    return found


def _named(stored, shape):
    """The bundle keeps projections as [in, out] and joins what is multiplied together; Hugging Face has [out, in], apart."""

    def wide(name):
        weight = stored[f"{name}.weight"]
        scale = stored.get(f"{name}.scale")
        return numpy.float32(weight) if scale is None else numpy.float32(weight) * scale

    keys = shape["kv_heads"] * shape["hidden"] // shape["heads"]
    tensors = {"model.embed_tokens.weight": wide("embedding"), "model.norm.weight": stored["norm.weight"], "score.weight": wide("score").T}
    for layer in range(shape["layers"]):
        ours, theirs = f"layers.{layer}.", f"model.layers.{layer}."
        tensors[f"{theirs}input_layernorm.weight"] = stored[f"{ours}input_norm.weight"]
        tensors[f"{theirs}post_attention_layernorm.weight"] = stored[f"{ours}post_attention_norm.weight"]
        joined = f"{ours}qkv.weight" in stored
        parts = [f"{ours}qkv"] if joined else [f"{ours}q", f"{ours}kv"]
        weight = numpy.concatenate([wide(part) for part in parts], axis=1).T
        bias = numpy.concatenate([stored[f"{part}.bias"] for part in parts]) if f"{parts[0]}.bias" in stored else None
        ends = [shape["hidden"], shape["hidden"] + keys]
        for index, letter in enumerate("qkv"):
            tensors[f"{theirs}self_attn.{letter}_proj.weight"] = numpy.split(weight, ends)[index]
            if bias is not None:
                tensors[f"{theirs}self_attn.{letter}_proj.bias"] = numpy.split(bias, ends)[index]
        tensors[f"{theirs}self_attn.o_proj.weight"] = wide(f"{ours}attention_output").T
        gate, up = numpy.split(wide(f"{ours}gate_up").T, 2)
        tensors[f"{theirs}mlp.gate_proj.weight"], tensors[f"{theirs}mlp.up_proj.weight"] = gate, up
        tensors[f"{theirs}mlp.down_proj.weight"] = wide(f"{ours}down").T
    return {name: numpy.ascontiguousarray(array, dtype=numpy.float32) for name, array in tensors.items()}
