#!/usr/bin/env python3
"""Makes the golden checkpoints: tiny random classifiers, and the logits that `transformers` computes for them.

    scripts/golden.sh [NAME...]    # installs PyTorch and transformers, and rewrites the folders beside this file

Every weight is random, norms and biases too, so that none of them can be forgotten or swapped without a test failing.
"""

import json
import pathlib
import random
import sys

import torch
import transformers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    LlamaConfig,
    LlamaForSequenceClassification,
    Qwen2Config,
    Qwen2ForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)
from transformers.modeling_outputs import SequenceClassifierOutput

FOLDER = pathlib.Path(__file__).parent
VOCABULARY = 61
SHAPE = dict(
    vocab_size=VOCABULARY,
    hidden_size=64,
    intermediate_size=34,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    rms_norm_eps=1e-5,
    num_labels=12,
    pad_token_id=None,
    tie_word_embeddings=True,
)
# Of the eight frequencies, this scaling keeps some, divides some and blends some.
LLAMA3 = dict(
    rope_type="llama3",
    rope_theta=500.0,
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=64,
)


def qwen2():
    rope = {"rope_type": "default", "rope_theta": 500.0}
    config = Qwen2Config(**SHAPE, max_position_embeddings=64, rope_parameters=rope)
    make("qwen2", Qwen2ForSequenceClassification(config), [1, 2, 7, 33, 64], words(None), "5GB")


def llama():
    config = LlamaConfig(**SHAPE, max_position_embeddings=512, rope_parameters=LLAMA3)
    # As Llama's own tokenizer does, this one puts a token before every text; and the weights are
    # in several files.
    make("llama", LlamaForSequenceClassification(config), [1, 2, 33, 200, 512], words("w60"), "60KB")


ENCODER = dict(
    vocab_size=VOCABULARY,
    hidden_size=32,
    intermediate_size=40,
    num_hidden_layers=2,
    num_attention_heads=4,
    layer_norm_eps=1e-6,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
    pad_token_id=1,
)
ENCODER_LENGTHS = [1, 2, 7, 33, 64]
# RoBERTa counts positions of real tokens alone: an input without padding has no such id.
PADDING = 1


def bert():
    config = BertConfig(**ENCODER, max_position_embeddings=64, type_vocab_size=2, num_labels=12, problem_type="multi_label_classification")
    pieces = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "how", "do", "i", "bake", "bread", "?", "the", "a", "b", "c", "##s", "##e"]
    pieces += [f"##{i}" for i in range(VOCABULARY - len(pieces))]
    model = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": {p: i for i, p in enumerate(pieces)}}
    tokenizer = {
        "version": "1.0",
        "added_tokens": [special(p, i) for i, p in enumerate(pieces[:4])],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "cls": ["[CLS]", 0], "sep": ["[SEP]", 2]},
        "model": model,
    }
    make("bert", BertForSequenceClassification(config), ENCODER_LENGTHS, tokenizer, "5GB")


def roberta():
    # Labels that exclude each other, and the approximate activation.
    config = RobertaConfig(**ENCODER, max_position_embeddings=66, type_vocab_size=1, hidden_act="gelu_new", problem_type="single_label_classification", id2label={0: "unsafe", 1: "safe"}, label2id={"unsafe": 0, "safe": 1})
    make("roberta", RobertaForSequenceClassification(config), ENCODER_LENGTHS, unigram(), "5GB")


def xlm_roberta():
    names = ["hate", "neutral", "insult"]
    config = XLMRobertaConfig(**ENCODER, max_position_embeddings=66, type_vocab_size=1, problem_type="single_label_classification", id2label=dict(enumerate(names)), label2id={n: i for i, n in enumerate(names)})
    make("xlm-roberta", XLMRobertaForSequenceClassification(config), ENCODER_LENGTHS, unigram(), "5GB")


class Pooled(torch.nn.Module):
    """Our own architecture: the body of a BERT and one linear layer on the mean of its tokens."""

    def __init__(self, config):
        super().__init__()
        self.bert = BertModel(config, add_pooling_layer=False)
        self.classifier = torch.nn.Linear(config.hidden_size, config.num_labels)
        self.config = config

    def forward(self, input_ids):
        mean = self.bert(input_ids=input_ids).last_hidden_state.mean(1)
        return SequenceClassifierOutput(logits=self.classifier(mean))

    def save_pretrained(self, folder, max_shard_size):
        from safetensors.torch import save_file

        save_file(self.state_dict(), folder / "model.safetensors", {"format": "pt"})
        self.config.save_pretrained(folder)


def pooled():
    config = BertConfig(**ENCODER, max_position_embeddings=64, type_vocab_size=2, num_labels=12, pooling="mean", architectures=["DuoguardBertForSequenceClassification"])
    make("pooled", Pooled(config), ENCODER_LENGTHS, unigram(), "5GB", {"prefix_text": "query:"})


def special(content, index):
    return {"id": index, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}


def unigram():
    """Pieces with scores, as XLM-RoBERTa has them, between <s> and </s>."""
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", "▁query", ":", "▁how", "▁do", "▁I", "▁bake", "▁bread", "?", "▁the"]
    pieces += [chr(c) for c in range(ord("a"), ord("z") + 1)]
    pieces += [f"▁w{i}" for i in range(VOCABULARY - len(pieces))]
    around = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}]
    return {
        "version": "1.0",
        "added_tokens": [special(p, i) for i, p in enumerate(pieces[:4])],
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": around,
            "pair": around + [{"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {p: {"id": p, "ids": [i], "tokens": [p]} for p, i in (("<s>", 0), ("</s>", 2))},
        },
        "model": {"type": "Unigram", "unk_id": 3, "vocab": [[p, 0.0 if i < 4 else -2.0 - 0.1 * i] for i, p in enumerate(pieces)], "byte_fallback": False},
    }


def words(prefix):
    """One token a word; as Llama's own tokenizer does, one before every text if `prefix` says so."""
    tokenizer = {
        "version": "1.0",
        "model": {
            "type": "WordLevel",
            "vocab": {f"w{i}": i for i in range(VOCABULARY)},
            "unk_token": "w0",
        },
        "pre_tokenizer": {"type": "WhitespaceSplit"},
    }
    if prefix:
        token = {"SpecialToken": {"id": prefix, "type_id": 0}}
        tokenizer["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [token, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [token, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {prefix: {"id": prefix, "ids": [int(prefix[1:])], "tokens": [prefix]}},
        }
    return tokenizer


def make(name, model, lengths, tokenizer, shard_size, guard=None):
    model = model.eval()
    folder = FOLDER / name
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if "norm" in parameter_name.lower() and parameter_name.endswith("weight"):
                parameter.uniform_(0.5, 1.5)
            else:
                parameter.normal_(0.0, 0.02 if parameter_name.endswith("bias") else 0.2)
        cases = []
        for length in lengths:
            ids = [random.randrange(VOCABULARY) for _ in range(length)]
            if name in ENCODERS:
                ids = [i + 1 if i == PADDING else i for i in ids]
            logits = model(input_ids=torch.tensor([ids])).logits[0]
            cases.append({"input_ids": ids, "logits": [float(x) for x in logits]})
    folder.mkdir(exist_ok=True)
    model.save_pretrained(folder, max_shard_size=shard_size)
    (folder / "golden.json").write_text(json.dumps({"tolerance": 1e-4, "cases": cases}) + "\n")
    if guard:
        (folder / "duoguard.json").write_text(json.dumps(guard) + "\n")
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer) + "\n")


ENCODERS = {"bert": bert, "roberta": roberta, "xlm-roberta": xlm_roberta, "pooled": pooled}
PARTS = {"qwen2": qwen2, "llama": llama, **ENCODERS}


def main():
    for name in sys.argv[1:] or PARTS:
        torch.manual_seed(7)
        random.seed(7)
        PARTS[name]()
    print(f"torch {torch.__version__}, transformers {transformers.__version__}")


main()
