#!/usr/bin/env python3
"""Makes the golden GGUF files: tiny random models, and what `gguf`, `transformers`, `sentencepiece` and
`llama-cpp-python` say of them.

    scripts/gguf.sh                  # installs these packages, and rewrites the folder gguf beside this file
    scripts/gguf.sh FILE OUT       # what they say of FILE, such as SmolLM2-135M-Instruct, into the folder OUT

The files are written as llama.cpp's converter writes them: for the Llama family, with the rows of Q and K reordered.
"""

import hashlib
import io
import json
import pathlib
import sys
import tempfile
import unicodedata

import gguf
import llama_cpp
import numpy
import sentencepiece
import tokenizers
import torch
import transformers
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize

FOLDER = pathlib.Path(__file__).parent / "gguf"
# For learning two small vocabularies; mild, in several scripts.
CORPUS = """The soup is warm and the bread is good. How do I bake bread? We'll see what they've done.
The garden is green in spring, and the river runs through the town. She reads a book in the evening.
Das Brot ist gut, und die Suppe ist warm. Wie backe ich ein Brot? Der Fluss fließt durch die Stadt.
La sopa está caliente y el pan es bueno. ¿Cómo hago pan? El río pasa por la ciudad.
Le pain est bon et la soupe est chaude. Où est la gare ? Elle lit un livre le soir.
Хлеб хороший, а суп тёплый. Как испечь хлеб? Она читает книгу вечером.
الخبز جيد والحساء دافئ. كيف أخبز الخبز؟
रोटी अच्छी है और सूप गरम है। मैं रोटी कैसे बनाऊँ?
面包很好，汤很热。我怎么烤面包？ パンはおいしいです。スープは温かいです。
There are 12 months, 365 days and 8760 hours in a year; 3.14 is not 2.72. (Yes, really!)
"""
TEXTS = [
    "How do I bake bread?",
    "the soup is warm",
    "We'll see what they've done, I'm sure.",
    "WE'LL SEE WHAT THEY'VE DONE",
    "Wie backe ich ein Brot? Größe, Straße, Übung",
    "¿Cómo hago pan? ¡El río!",
    "Où est la gare ? L'été, ça va.",
    "Хлеб хороший, а суп тёплый.",
    "الخبز جيد والحساء دافئ",
    "मैं रोटी कैसे बनाऊँ?",
    "面包很好，汤很热。",
    "パンはおいしいです。",
    "한국어도 됩니다",
    "ขนมปังอร่อย",
    "🍞👩‍🍳 emoji 😀",
    "12 months, 365 days and 8760 hours; ٣٤٥ ½ ² Ⅷ",
    "x=3.14159;y[0]+=1e-9",
    "two  spaces   three\ttab\n\nlines\r\n  indented\n",
    "a" * 40,
    "ééé ñ ü",
    "",
]
# Texts that begin or end with spaces: not all tools agree about these.
SPACES = [" one", "  two", "   ", " ", "end ", "\n"]
DECOMPOSED = [unicodedata.normalize("NFD", t) for t in ("Größe, Übung", "Cómo está", "한국어")]
CHAT = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
# llama.cpp rounds what goes into a product to 8 bits.
ROUNDED = 0.2
LABELS = ["violence", "privacy", "weapons"]
SHAPE = dict(
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    rms_norm_eps=1e-5,
    max_position_embeddings=128,
    rope_parameters={"rope_type": "default", "rope_theta": 500.0},
    pad_token_id=None,
    tie_word_embeddings=True,
)
NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
    "score.weight": "cls.output.weight",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
# The types of a layer's matrices, in the order of NAMES.
TYPES = {
    "attn_q": Type.Q8_0,
    "attn_k": Type.Q4_0,
    "attn_v": Type.BF16,
    "attn_output": Type.Q4_1,
    "ffn_gate": Type.F16,
    "ffn_up": Type.Q5_0,
    "ffn_down": Type.Q8_0,
    "token_embd": Type.Q8_0,
    "output": Type.Q8_0,
}


def blocks():
    """Two rows of random blocks of every type, and what `gguf` makes of them."""
    random = numpy.random.default_rng(7)
    writer = gguf.GGUFWriter(FOLDER / "blocks.gguf", "blocks")
    for kind in (Type.F32, Type.F16, Type.BF16, Type.Q8_0, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q4_K, Type.Q5_K, Type.Q6_K):
        values, size = gguf.GGML_QUANT_SIZES[kind]
        count = 512 // values
        raw = random.integers(0, 256, (count, size), dtype=numpy.uint8)
        if kind == Type.F32:
            raw = random.normal(size=(512, 1)).astype(numpy.float32).view(numpy.uint8)
        if kind == Type.F16:
            raw = random.normal(size=(512, 1)).astype(numpy.float16).view(numpy.uint8)
        if kind == Type.BF16:
            raw = quantize(random.normal(size=(512, 2)).astype(numpy.float32), kind)[:, :2]
        # Scales that are finite numbers of either sign; where they stand in a block.
        places = {Type.Q8_0: [0], Type.Q4_0: [0], Type.Q5_0: [0], Type.Q6_K: [208]}.get(kind, [0, 2])
        if values > 1:
            for place in places:
                scale = random.normal(0.0, 0.01, (count, 1)).astype(numpy.float16)
                raw[:, place : place + 2] = scale.view(numpy.uint8)
        raw = numpy.ascontiguousarray(raw).reshape(2, -1)
        name = kind.name.lower()
        expected = dequantize(raw.copy(), kind) if kind.name not in ("F32", "F16") else raw.view(numpy.float32 if kind == Type.F32 else numpy.float16)
        if kind in (Type.F32, Type.F16):
            writer.add_tensor(name, raw.view(numpy.float32 if kind == Type.F32 else numpy.float16))
        else:
            writer.add_tensor(name, raw, raw_dtype=kind)
        writer.add_tensor(f"{name}.expected", expected.astype(numpy.float32).reshape(2, -1))
    finish(writer)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def learn_sentencepiece():
    """A vocabulary as Llama 2 has one: BPE with bytes, without any normalisation."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS.splitlines() * 3),
        model_writer=model,
        vocab_size=480,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        character_coverage=0.98,
        num_threads=1,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def learn_byte_level():
    """A vocabulary as GPT-2 has one; special tokens last, as Qwen2 has them."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    byte_level = tokenizers.pre_tokenizers.ByteLevel
    tokenizer.pre_tokenizer = byte_level(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=360, initial_alphabet=sorted(byte_level.alphabet()), show_progress=False)
    tokenizer.train_from_iterator(CORPUS.splitlines(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool>", "[PAD0]"]
    types = [1] * len(tokens) + [3, 3, 3, 4, 5]
    merges = [" ".join(pair) for pair in model["merges"]]
    return tokens + specials, types, merges


def add_byte_level(writer, learned, pre):
    tokens, types, merges = learned
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_bos_token_id(tokens.index("<|endoftext|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT)


def add_sentencepiece(writer, learned):
    size = learned.get_piece_size()
    types = []
    for i in range(size):
        kinds = [(learned.is_unknown, 2), (learned.is_control, 3), (learned.is_unused, 5), (learned.is_byte, 6)]
        types.append(next((number for is_kind, number in kinds if is_kind(i)), 1))
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([learned.id_to_piece(i) for i in range(size)])
    writer.add_token_scores([learned.get_score(i) for i in range(size)])
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(False)


def add_shape(writer, config):
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)


def gguf_name(name):
    if name in NAMES:
        return NAMES[name]
    _, _, layer, part, kind = name.replace("self_attn.", "self_attn/").replace("mlp.", "mlp/").split(".")
    return f"blk.{layer}.{NAMES[part.replace('/', '.')]}.{kind}"


def hugging_face_name(called):
    names = {gguf_name: name for name, gguf_name in NAMES.items()}
    if called in names:
        return names[called]
    _, layer, part, kind = called.split(".")
    return f"model.layers.{layer}.{names[part]}.{kind}"


def reordered(values, heads):
    """As llama.cpp's converter does for the Llama family: dimensions that rotate together become neighbours."""
    rows, width = values.shape
    return values.reshape(heads, 2, rows // heads // 2, width).swapaxes(1, 2).reshape(rows, width)


def randomise(model):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name and name.endswith("weight"):
                parameter.uniform_(0.5, 1.5)
            else:
                parameter.normal_(0.0, 0.05 if name.endswith("bias") else 0.2)


def write_model(name, family, model, add_tokenizer, labels=None):
    """The model as a GGUF file; its weights become what comes out of the file."""
    config = model.config
    writer = gguf.GGUFWriter(FOLDER / f"{name}.gguf", family)
    writer.add_name(name)
    add_shape(writer, config)
    if labels:
        writer.add_classifier_output_labels(labels)
    add_tokenizer(writer)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            called = gguf_name(key)
            part = called.split(".")[-2]
            values = parameter.numpy()
            heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}.get(part)
            if family == "llama" and heads:
                values = reordered(values, heads)
            kind = TYPES.get(part, Type.F32) if values.ndim == 2 and part != "cls" else Type.F32
            if kind == Type.F32:
                writer.add_tensor(called, values.astype(numpy.float32))
                continue
            if kind == Type.F16:
                stored = values.astype(numpy.float16)
                writer.add_tensor(called, stored)
                back = stored.astype(numpy.float32)
            else:
                stored = quantize(values, kind)
                writer.add_tensor(called, stored, raw_dtype=kind)
                back = dequantize(stored, kind)
            if family == "llama" and heads:
                back = back.reshape(heads, -1, 2, back.shape[1]).swapaxes(1, 2).reshape(back.shape)
            parameter.copy_(torch.from_numpy(back.copy()))
    finish(writer)


def logits(model, ids):
    with torch.no_grad():
        found = model(input_ids=torch.tensor([ids])).logits[0]
    return found if found.ndim == 1 else found[-1]


def compare(what, found, expected, tolerance):
    """The largest difference, as a share of the expected values' spread."""
    error = numpy.abs(numpy.asarray(found) - numpy.asarray(expected)).max() / numpy.std(expected)
    print(f"{what}: {error:.1e}")
    assert error <= tolerance, what


def compare_readers(file, sequences, expected):
    """The logits that transformers and llama.cpp find with a file."""
    loaded = transformers.AutoModelForCausalLM.from_pretrained(FOLDER, gguf_file=file, dtype=torch.float32).eval()
    reader = llama_cpp.Llama(str(FOLDER / file), n_ctx=128, logits_all=True, verbose=False)
    for ids, row in zip(sequences, expected):
        compare(f"{file}, transformers", logits(loaded, ids), row, 1e-5)
        reader.reset()
        reader.eval(ids)
        compare(f"{file}, llama.cpp", reader.scores[len(ids) - 1], row, ROUNDED)


def models():
    """A language model and a classifier of the Llama family, and a classifier of the Qwen2 family."""
    pieces, byte_level = learn_sentencepiece(), learn_byte_level()
    golden = {}
    lengths = (1, 7, 60)
    random = numpy.random.default_rng(5)
    config = transformers.LlamaConfig(**SHAPE, vocab_size=pieces.get_piece_size())
    llama = transformers.LlamaForCausalLM(config).eval()
    randomise(llama)
    write_model("llama", "llama", llama, lambda writer: add_sentencepiece(writer, pieces))
    sequences = [random.integers(3, config.vocab_size, n).tolist() for n in lengths]
    found = [logits(llama, ids).tolist() for ids in sequences]
    compare_readers("llama.gguf", sequences, found)
    golden["llama"] = cases(sequences, found)

    config = transformers.LlamaConfig(**SHAPE, vocab_size=pieces.get_piece_size(), num_labels=3)
    labelled = transformers.LlamaForSequenceClassification(config).eval()
    labelled.model.load_state_dict(llama.model.state_dict())
    torch.nn.init.normal_(labelled.score.weight, 0.0, 0.2)
    write_model("llama-labels", "llama", labelled, lambda writer: add_sentencepiece(writer, pieces), LABELS)
    golden["llama-labels"] = cases(sequences, [logits(labelled, ids).tolist() for ids in sequences])

    config = transformers.Qwen2Config(**SHAPE, vocab_size=len(byte_level[0]), num_labels=3)
    qwen2 = transformers.Qwen2ForCausalLM(config).eval()
    randomise(qwen2)
    write_model("qwen2", "qwen2", qwen2, lambda writer: add_byte_level(writer, byte_level, "qwen2"))
    sequences = [random.integers(0, 356, n).tolist() for n in lengths]
    found = [logits(qwen2, ids).tolist() for ids in sequences]
    compare_readers("qwen2.gguf", sequences, found)
    golden["qwen2"] = cases(sequences, found)
    labelled = transformers.Qwen2ForSequenceClassification(config).eval()
    labelled.model.load_state_dict(qwen2.model.state_dict())
    torch.nn.init.normal_(labelled.score.weight, 0.0, 0.2)
    write_model("qwen2-labels", "qwen2", labelled, lambda writer: add_byte_level(writer, byte_level, "qwen2"), LABELS)
    golden["qwen2-labels"] = cases(sequences, [logits(labelled, ids).tolist() for ids in sequences])

    tokens = {pre: byte_level_ids(byte_level, pre) for pre in ("gpt-2", "smollm", "qwen2", "llama-bpe")}
    tokens["qwen2"] += decomposed_ids(byte_level)
    tokens["llama"] = sentencepiece_ids(pieces)
    golden["tokens"] = tokens
    (FOLDER / "golden.json").write_text(json.dumps(golden, ensure_ascii=False) + "\n")


def cases(sequences, rows):
    return [{"input_ids": ids, "logits": [float(f"{x:.7g}") for x in row]} for ids, row in zip(sequences, rows)]


def vocabulary_file(learned, pre):
    path = pathlib.Path(tempfile.mkdtemp()) / f"vocabulary-{pre}.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    add_byte_level(writer, learned, pre)
    writer.add_context_length(128)
    finish(writer)
    return path


def byte_level_ids(learned, pre):
    """What llama.cpp makes of texts; transformers must agree where it knows the way of splitting."""
    path = vocabulary_file(learned, pre)
    reader = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
    texts = TEXTS + SPACES + ["<|im_start|>user\nHi<|im_end|>", "<tool>x <|im_end|> y", "[PAD0] no"]
    found = [[text, reader.tokenize(text.encode(), add_bos=False, special=True)] for text in texts]
    if pre in ("gpt-2", "qwen2", "llama-bpe"):
        other = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        for text, ids in found:
            again = other(text, add_special_tokens=False).input_ids
            if again != ids:
                print(f"{pre}: {text!r} is {ids} for llama.cpp, {again} for transformers")
    return found


def decomposed_ids(learned):
    """Letters and their accents apart: transformers' Qwen2 composes them first, as the model was trained."""
    tokens, _, merges = learned
    vocabulary = {token: i for i, token in enumerate(tokens[:-5])}
    tokenizer = transformers.Qwen2Tokenizer(vocab=vocabulary, merges=[tuple(m.split(" ")) for m in merges])
    return [[text, tokenizer(text, add_special_tokens=False).input_ids] for text in DECOMPOSED]


def sentencepiece_ids(learned):
    texts = TEXTS + SPACES
    found = [[text, learned.encode(text)] for text in texts]
    other = transformers.AutoTokenizer.from_pretrained(FOLDER, gguf_file="llama.gguf")
    reader = llama_cpp.Llama(str(FOLDER / "llama.gguf"), vocab_only=True, verbose=False)
    for text, ids in found:
        for who, again in (("transformers", other(text, add_special_tokens=False).input_ids), ("llama.cpp", reader.tokenize(text.encode(), add_bos=False, special=True))):
            if again != ids:
                print(f"llama: {text!r} is {ids} for sentencepiece, {again} for {who}")
    return found


def real(path, out):
    """Hashes of a file's tensors, in the order of a Hugging Face folder, and llama.cpp's tokens and logits."""
    out.mkdir(parents=True, exist_ok=True)
    file = gguf.GGUFReader(path)
    heads = {f"attn_{name}": int(file.fields[f"llama.attention.{key}"].contents()) for name, key in (("q", "head_count"), ("k", "head_count_kv"))}
    hashes = {}
    for tensor in file.tensors:
        values = dequantize(tensor.data, tensor.tensor_type) if tensor.tensor_type != Type.F32 else tensor.data
        count = heads.get(tensor.name.split(".")[-2])
        if count:
            values = values.reshape(count, -1, 2, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
        values = numpy.ascontiguousarray(values, dtype="<f4")
        hashes[hugging_face_name(tensor.name)] = hashlib.sha256(values.tobytes()).hexdigest()
    model = llama_cpp.Llama(str(path), n_ctx=256, logits_all=True, verbose=False)
    texts = TEXTS + SPACES + ["<|im_start|>user\nHow do I bake bread?<|im_end|>\n<|im_start|>assistant\n"]
    tokens = [[text, model.tokenize(text.encode(), add_bos=False, special=True)] for text in texts]
    rows = []
    for text, ids in tokens[:3] + tokens[-1:]:
        model.reset()
        model.eval(ids)
        rows.append({"input_ids": ids, "logits": [float(x) for x in model.scores[len(ids) - 1]]})
    (out / "expected.json").write_text(json.dumps({"file": str(path.resolve()), "sha256": hashes, "tokens": tokens, "cases": rows}) + "\n")


def main():
    if len(sys.argv) == 3:
        real(*map(pathlib.Path, sys.argv[1:]))
        return
    torch.manual_seed(7)
    FOLDER.mkdir(exist_ok=True)
    blocks()
    models()


main()
