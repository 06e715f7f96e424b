"""llama.cpp as a peer: a network written as GGUF, and its logits through the C functions that llama-cpp-python calls.

llama.cpp has no classification head for Qwen2, and where it is asked for embeddings it computes logits for every word of the vocabulary at every
token. So that it does no needless work, the categories stand in the file as its whole vocabulary, with the head as their `output.weight`; the
tokens' embeddings are looked up in numpy and handed in, and logits are asked for at the last token alone.
"""

import ctypes

import gguf
import llama_cpp
import numpy

WHOLE = {"model.norm.weight": "output_norm.weight", "score.weight": "output.weight"}
PARTS = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
EMBEDDING = "model.embed_tokens.weight"


def write(path, network, kind):
    """Writes the network with its projections as `kind`: F32, F16 or Q8_0."""
    shape, kind = network.shape, gguf.GGMLQuantizationType[kind]
    writer = gguf.GGUFWriter(path, shape["model_type"])
    writer.add_block_count(shape["layers"])
    writer.add_context_length(shape["max_position"])
    writer.add_embedding_length(shape["hidden"])
    writer.add_feed_forward_length(shape["intermediate"])
    writer.add_head_count(shape["heads"])
    writer.add_head_count_kv(shape["kv_heads"])
    writer.add_rope_freq_base(shape["rope_theta"])
    writer.add_layer_norm_rms_eps(shape["norm_eps"])
    writer.add_vocab_size(network.labels)
    writer.add_tokenizer_model("no_vocab")
    writer.add_tensor("token_embd.weight", numpy.zeros((network.labels, shape["hidden"]), numpy.float32))
    for name, array in network.tensors.items():
        if name == EMBEDDING:
            continue
        if name not in WHOLE:
            layer, part = name.removeprefix("model.layers.").split(".", 1)
            part, end = part.rsplit(".", 1)
            name = f"blk.{layer}.{PARTS[part]}.{end}"
        name = WHOLE.get(name, name)
        if array.ndim == 2 and kind != gguf.GGMLQuantizationType.F32:
            writer.add_tensor(name, gguf.quantize(array, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class Classifier:
    """A network in llama.cpp, on one thread: token ids in, logits out."""

    def __init__(self, network, kind, folder, tokens):
        path = folder / f"network-{kind.lower()}.gguf"
        write(path, network, kind)
        self._embedding = network.tensors[EMBEDDING]
        self._labels = network.labels
        model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        options = llama_cpp.llama_context_default_params()
        options.n_ctx = options.n_batch = options.n_ubatch = tokens
        options.n_threads = options.n_threads_batch = 1
        self._context = model and llama_cpp.llama_init_from_model(model, options)
        if not self._context:
            raise SystemExit(f"llama.cpp does not open {path}")
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._batch = llama_cpp.llama_batch_init(tokens, self._embedding.shape[1], 1)
        width = self._embedding.shape[1]
        self._rows = numpy.ctypeslib.as_array(self._batch.embd, (tokens, width))
        for at in range(tokens):
            self._batch.pos[at], self._batch.n_seq_id[at], self._batch.seq_id[at][0] = at, 1, 0
            self._batch.logits[at] = False

    def logits(self, ids):
        count = len(ids)
        numpy.take(self._embedding, ids, axis=0, out=self._rows[:count])
        self._batch.n_tokens = count
        self._batch.logits[count - 1] = True
        llama_cpp.llama_memory_clear(self._memory, False)
        status = llama_cpp.llama_decode(self._context, self._batch)
        self._batch.logits[count - 1] = False
        if status != 0:
            raise SystemExit(f"llama.cpp fails with {status}")
        return numpy.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(self._context, count - 1), (self._labels,)).copy()


def version():
    """Of the package, and what it was compiled to use."""
    flags = llama_cpp.llama_print_system_info().decode().split(":", 1)[-1].split("|")
    used = " ".join(flag.split("=")[0].strip() for flag in flags if flag.strip().endswith("= 1"))
    return f"llama-cpp-python {llama_cpp.__version__} ({used})"


@llama_cpp.llama_log_callback
def _silent(level, text, data):
    pass


llama_cpp.llama_log_set(_silent, ctypes.c_void_p(0))
