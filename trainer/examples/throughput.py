"""What `throughput.rs` measures, with PyTorch and transformers: `python3 trainer/examples/throughput.py --device cuda --precision bf16`.

The same shapes, batches and optimizer: AdamW on 32-bit weights and moments, norm clipped to 1; in bf16 the network computes with a copy of
the weights that is written anew after every step. Needs torch and transformers: `scripts/venv.sh torch torch`.
"""

import argparse
import resource
import sys
import time
import types

import torch
import torch.nn.functional as F
import transformers

SHAPES = {
    "tiny": dict(num_hidden_layers=3, hidden_size=64, num_attention_heads=4, num_key_value_heads=2, intermediate_size=96, vocab_size=300),
    "mini": dict(num_hidden_layers=2, hidden_size=192, num_attention_heads=4, num_key_value_heads=2, intermediate_size=512, vocab_size=16000),
    "encoder": dict(num_hidden_layers=12, hidden_size=384, num_attention_heads=12, intermediate_size=1536, vocab_size=60000),
    "llama": dict(num_hidden_layers=30, hidden_size=576, num_attention_heads=9, num_key_value_heads=3, intermediate_size=1536, vocab_size=49152),
    "qwen": dict(num_hidden_layers=24, hidden_size=896, num_attention_heads=14, num_key_value_heads=2, intermediate_size=4864, vocab_size=151936),
}


def classifier_loss(scores, rows):
    """Log-sum-exp: row 0 of four safe, 1 and 2 unsafe in one category, 3 unsafe in one that is not known."""
    scores = scores.float()
    zero = torch.zeros_like(scores[:, :1])
    label = torch.zeros_like(scores)
    label[torch.arange(rows), torch.arange(rows) % 12] = 1
    softened = lambda x: torch.logsumexp(torch.cat([zero, x], 1), 1)
    safe = softened(scores)
    known = softened(scores - 1e9 * label) + softened(-scores - 1e9 * (1 - label))
    unknown = F.softplus(-torch.logsumexp(scores, 1))
    kind = torch.arange(rows, device=scores.device) % 4
    return torch.where(kind == 0, safe, torch.where(kind == 3, unknown, known)).mean()


def preference_loss(model, ids, prompt):
    """DPO and the likelihood of the chosen half, against a reference that finds every token equally likely."""
    rows = len(ids)
    ids = torch.cat([ids, torch.zeros_like(ids[:, :1])], 1)
    logits = model(input_ids=ids[:, :-1]).logits[:, prompt - 1 :].float()
    each = F.log_softmax(logits, -1).gather(2, ids[:, prompt:, None])[..., 0]
    both, length = each.sum(1), each.shape[1]
    reference = -length * torch.log(torch.tensor(float(logits.shape[-1])))
    chosen, rejected = both[: rows // 2], both[rows // 2 :]
    margin = (chosen - reference) - (rejected - reference)
    return (F.softplus(-0.01 * margin) - 0.4 * chosen / length).mean()


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def take_turns(turn, device):
    """A turn for every line of stdin; its milliseconds, its tokens, and the most memory so far in MiB."""
    for _ in sys.stdin:
        started = time.perf_counter()
        tokens = turn()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        print((time.perf_counter() - started) * 1e3, tokens, peak_mib(), flush=True)


class EncoderClassifier(torch.nn.Module):
    """A BERT encoder with a classifier on the mean of its last layer; all but the embedding is trained."""

    def __init__(self, shape):
        super().__init__()
        self.config = transformers.BertConfig(**shape, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, attn_implementation="sdpa")
        self.encoder = transformers.BertModel(self.config, add_pooling_layer=False)
        self.encoder.embeddings.requires_grad_(False)
        self.classifier = torch.nn.Linear(self.config.hidden_size, 12)

    def forward(self, input_ids):
        hidden = self.encoder(input_ids=input_ids).last_hidden_state
        return types.SimpleNamespace(logits=self.classifier(hidden.mean(1)))


def sampler(a):
    """Samples for `rows` texts, prompts being shared by `proposals` of them; gives the tokens sampled."""
    config = transformers.LlamaConfig(
        **SHAPES[a.shape], tie_word_embeddings=True, pad_token_id=0, eos_token_id=0, bos_token_id=1, max_position_embeddings=8192
    )
    dtype = torch.bfloat16 if a.precision == "bf16" else torch.float32
    model = transformers.LlamaForCausalLM(config).to(a.device, dtype).eval()
    settings = dict(do_sample=True, temperature=1.0, top_p=a.top_p, top_k=0, max_new_tokens=a.new_tokens, num_return_sequences=a.proposals)

    def turn():
        prompts = torch.randint(1, config.vocab_size, (a.rows // a.proposals, a.tokens), device=a.device)
        with torch.no_grad():
            texts = model.generate(prompts, attention_mask=torch.ones_like(prompts), **settings)
        new = texts[:, a.tokens :].tolist()
        return sum(text.index(0) + 1 if 0 in text else len(text) for text in new)

    return turn


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--shape", choices=SHAPES, default="qwen")
    parser.add_argument("--step", choices=["pretrain", "classifier", "preference", "generate"], default="classifier")
    parser.add_argument("--rows", type=int, default=40)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--recompute", action="store_true")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--proposals", type=int, default=1)
    parser.add_argument("--top-p", type=float, default=0.9)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--turns", action="store_true")
    a = parser.parse_args()

    torch.manual_seed(1)
    if a.threads:
        torch.set_num_threads(a.threads)
    transformers.logging.set_verbosity_error()
    if a.step == "generate":
        return take_turns(sampler(a), a.device)
    if a.shape == "encoder":
        model = EncoderClassifier(SHAPES[a.shape])
        config = model.config
    else:
        config = transformers.Qwen2Config(**SHAPES[a.shape], tie_word_embeddings=True, num_labels=12, pad_token_id=0, use_cache=False)
        kind = transformers.Qwen2ForSequenceClassification if a.step == "classifier" else transformers.Qwen2ForCausalLM
        model = kind(config)
    model = model.to(a.device)
    masters = [p for p in model.parameters() if p.requires_grad]
    if a.precision == "bf16":
        masters = [torch.nn.Parameter(p.detach().clone()) for p in masters]
        model = model.to(torch.bfloat16)
    computing = [p for p in model.parameters() if p.requires_grad]
    if a.recompute:
        model.gradient_checkpointing_enable()
    model.train()
    optimizer = torch.optim.AdamW(masters, lr=1e-5, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.0)

    def step():
        ids = torch.randint(1, config.vocab_size, (a.rows, a.tokens), device=a.device)
        if a.step == "classifier":
            loss = classifier_loss(model(input_ids=ids).logits, a.rows)
        elif a.step == "preference":
            loss = preference_loss(model, ids, a.tokens // 4)
        else:
            logits = model(input_ids=ids).logits.float()
            loss = F.cross_entropy(logits.flatten(0, 1), ids.roll(-1, 1).flatten())
        loss.backward()
        with torch.no_grad():
            if a.precision == "bf16":
                for master, used in zip(masters, computing):
                    master.grad = None if used.grad is None else used.grad.float()
                    used.grad = None
            torch.nn.utils.clip_grad_norm_(masters, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            if a.precision == "bf16":
                for master, used in zip(masters, computing):
                    used.copy_(master)
        return loss

    if a.turns:

        def turn():
            for _ in range(a.steps):
                loss = step()
            loss.item()
            return a.rows * a.tokens * a.steps

        return take_turns(turn, a.device)

    def wait():
        if a.device.startswith("cuda"):
            torch.cuda.synchronize()

    for _ in range(a.steps):
        step()
    wait()
    started = time.perf_counter()
    for _ in range(a.steps):
        step()
    wait()
    each = (time.perf_counter() - started) / a.steps
    if a.device.startswith("cuda"):
        memory = f"{torch.cuda.max_memory_reserved() / 2**30:.2f} GiB reserved"
    else:
        memory = f"{peak_mib() / 1024:.2f} GiB at most"
    print(
        f"torch {torch.__version__} {a.device} {a.shape} {a.step} {a.rows}x{a.tokens} {a.precision}{' recomputed' if a.recompute else ''}: "
        f"{a.rows * a.tokens / each:.0f} tokens/s, {each * 1e3:.1f} ms a step, {memory}"
    )


if __name__ == "__main__":
    main()
