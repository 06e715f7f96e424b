"""The network of a bundle in floats, as an ONNX graph of plain operators for a fixed number of tokens: what other engines quantise themselves.

Shapes: T tokens, H hidden, N heads, D = H / N. What the last token alone needs is computed for it alone, as in the bundle.
"""

import json
import struct

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

TYPES = {"F32": "<f4", "I8": "<i1", "U8": "u1", "I32": "<i4"}
BLOCK = 32
OPSET = 17
DECODER_EPSILON, ENCODER_EPSILON = 1e-6, 1e-12


def tensors(folder):
    """The arrays of `weights.data` by name."""
    data = (folder / "weights.data").read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    found = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name != "__metadata__":
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            found[name] = numpy.frombuffer(data[begin:end], TYPES[entry["dtype"]]).reshape(entry["shape"])
    return found


class Graph:
    """Nodes of ONNX, one after the other; values are their names."""

    def __init__(self, stored, shape, tokens):
        self.stored, self.shape, self.tokens = stored, shape, tokens
        self.heads, self.kv_heads = shape["heads"], shape["kv_heads"]
        self.size = shape["hidden"] // self.heads
        self.nodes, self.constants = [], []

    def constant(self, array):
        name = f"constant.{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(numpy.ascontiguousarray(array), name))
        return name

    def floats(self, *values):
        return self.constant(numpy.float32(values))

    def ints(self, *values):
        return self.constant(numpy.int64(values))

    def add(self, kind, *inputs, outputs=1, **attributes):
        names = [f"value.{len(self.nodes)}.{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def wide(self, name):
        """A matrix in floats: `[rows, columns]`."""
        weight, scale = self.stored[f"{name}.weight"], self.stored.get(f"{name}.scale")
        if weight.dtype == numpy.uint8:
            # Low halves of bytes are the first half of a row, high ones the second.
            levels = numpy.concatenate([weight & 15, weight >> 4], axis=1).reshape(len(weight), -1, BLOCK)
            return ((levels.astype("f4") - 8) * scale[..., None]).reshape(len(weight), -1)
        return numpy.float32(weight) if scale is None else numpy.float32(weight) * scale

    def linear(self, x, name, bias=None):
        product = self.add("MatMul", x, self.constant(self.wide(name)))
        bias = self.stored.get(bias or f"{name}.bias")
        return product if bias is None else self.add("Add", product, self.constant(bias))

    def split_heads(self, x, tokens, heads):
        """`[1, T, N * D]` to `[1, N, T, D]`."""
        x = self.add("Reshape", x, self.ints(1, tokens, heads, self.size))
        return self.add("Transpose", x, perm=[0, 2, 1, 3])

    def attention(self, query, key, value, tokens, mask=None):
        """Of heads; `[1, tokens, H]`."""
        scores = self.add("MatMul", query, self.add("Transpose", key, perm=[0, 1, 3, 2]))
        scores = self.add("Mul", scores, self.floats(self.size**-0.5))
        if mask is not None:
            scores = self.add("Add", scores, self.constant(mask))
        mixed = self.add("MatMul", self.add("Softmax", scores, axis=-1), value)
        mixed = self.add("Transpose", mixed, perm=[0, 2, 1, 3])
        return self.add("Reshape", mixed, self.ints(1, tokens, self.shape["hidden"]))

    def embedding(self):
        return self.add("Gather", self.constant(self.wide("embedding")), "input_ids")

    def model(self, logits, labels):
        self.nodes.append(helper.make_node("Identity", [logits], ["logits"]))
        ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, self.tokens])
        out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, labels])
        graph = helper.make_graph(self.nodes, "network", [ids], [out], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)


def encoder(g):
    """BERT, pooled by the mean."""

    def norm(x, name):
        weights = (g.constant(g.stored[f"{name}.{part}"]) for part in ("weight", "bias"))
        return g.add("LayerNormalization", x, *weights, axis=-1, epsilon=ENCODER_EPSILON)

    x = g.add("Add", g.embedding(), g.constant(g.stored["position.weight"][None, : g.tokens]))
    x = norm(x, "embeddings_norm")
    for layer in range(g.shape["layers"]):
        at = f"layers.{layer}."
        parts = g.add("Split", g.linear(x, f"{at}qkv"), outputs=3, axis=-1)
        mixed = g.attention(*(g.split_heads(part, g.tokens, g.heads) for part in parts), g.tokens)
        mixed = g.linear(mixed, f"{at}attention_output", f"{at}attention_norm.projection_bias")
        x = norm(g.add("Add", mixed, x), f"{at}attention_norm")
        inner = g.linear(x, f"{at}up")
        half = g.add("Mul", inner, g.floats(0.5))
        erf = g.add("Erf", g.add("Mul", inner, g.floats(0.5**0.5)))
        inner = g.add("Mul", half, g.add("Add", erf, g.floats(1)))
        x = norm(g.add("Add", g.linear(inner, f"{at}down", f"{at}norm.projection_bias"), x), f"{at}norm")
    pooled = g.add("ReduceMean", x, axes=[1], keepdims=0)
    return g.model(g.linear(pooled, "logits"), g.stored["logits.weight"].shape[1])


def decoder(g):
    """Qwen2, judged by the last token."""

    def norm(x, name):
        mean = g.add("ReduceMean", g.add("Mul", x, x), axes=[-1])
        root = g.add("Sqrt", g.add("Add", mean, g.floats(DECODER_EPSILON)))
        return g.add("Mul", g.add("Div", x, root), g.constant(g.stored[f"{name}.weight"]))

    def turn(x, first):
        """Rotates `[1, N, T, D]`, whose first token is at the position `first`."""
        cosines, sines = (g.constant(g.stored[f"rotary.{part}"][None, None, first : g.tokens]) for part in ("cos", "sin"))
        left, right = g.add("Split", x, outputs=2, axis=-1)
        turned = [
            g.add("Sub", g.add("Mul", left, cosines), g.add("Mul", right, sines)),
            g.add("Add", g.add("Mul", right, cosines), g.add("Mul", left, sines)),
        ]
        return g.add("Concat", *turned, axis=-1)

    def repeat(x):
        """Keys or values, once for every query head that has them."""
        each = numpy.repeat(numpy.arange(g.kv_heads), g.heads // g.kv_heads)
        return g.add("Gather", x, g.constant(each), axis=1)

    def last(x):
        return g.add("Slice", x, g.ints(g.tokens - 1), g.ints(g.tokens), g.ints(1))

    keys = g.kv_heads * g.size
    x = g.embedding()
    for layer in range(g.shape["layers"]):
        at = f"layers.{layer}."
        normal = norm(x, f"{at}input_norm")
        first, mask = 0, numpy.triu(numpy.full((g.tokens, g.tokens), -1e9, "f4"), 1)
        if f"{at}qkv.weight" in g.stored:
            widths = g.ints(g.shape["hidden"], keys, keys)
            query, key, value = g.add("Split", g.linear(normal, f"{at}qkv"), widths, outputs=3, axis=-1)
        else:
            first, mask, x = g.tokens - 1, None, last(x)
            query = g.linear(last(normal), f"{at}q")
            key, value = g.add("Split", g.linear(normal, f"{at}kv"), outputs=2, axis=-1)
        judged = g.tokens - first
        query = turn(g.split_heads(query, judged, g.heads), first)
        key = repeat(turn(g.split_heads(key, g.tokens, g.kv_heads), 0))
        value = repeat(g.split_heads(value, g.tokens, g.kv_heads))
        mixed = g.attention(query, key, value, judged, mask)
        x = g.add("Add", x, g.linear(mixed, f"{at}attention_output"))
        gate, up = g.add("Split", g.linear(norm(x, f"{at}post_attention_norm"), f"{at}gate_up"), outputs=2, axis=-1)
        inner = g.add("Mul", g.add("Mul", gate, g.add("Sigmoid", gate)), up)
        x = g.add("Add", x, g.linear(inner, f"{at}down"))
    x = g.add("Reshape", norm(x, "norm"), g.ints(1, g.shape["hidden"]))
    return g.model(g.linear(x, "score"), g.wide("score").shape[1])


def network(folder, tokens):
    """The graph of a bundle for so many tokens, as a model of ONNX."""
    shape = json.loads((folder / "manifest.json").read_text())["architecture"]
    graph = Graph(tensors(folder), shape, tokens)
    model = encoder(graph) if shape.get("pooling") == "mean" else decoder(graph)
    onnx.checker.check_model(model)
    return model
