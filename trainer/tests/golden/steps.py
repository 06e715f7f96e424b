"""Golden losses and gradients of one step of each kind, by PyTorch and transformers in f32 on a CPU:

    python steps.py      # writes steps.json, qwen2.safetensors and llama.safetensors beside this file
"""
import json
import pathlib

import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
SIZES = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=24,
             vocab_size=40, max_position_embeddings=64, rms_norm_eps=1e-6, attn_implementation="eager", use_cache=False)
SCALING = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)
NETWORKS = {
    "qwen2": (transformers.Qwen2ForCausalLM, transformers.Qwen2Config(
        **SIZES, tie_word_embeddings=True, rope_parameters=dict(rope_type="default", rope_theta=10000.0))),
    "llama": (transformers.LlamaForCausalLM, transformers.LlamaConfig(
        **SIZES, tie_word_embeddings=False, rope_parameters=dict(rope_theta=500.0, **SCALING))),
}
LENGTHS = [7, 3, 12, 5, 9, 1]
PROMPTS, TARGETS = [4, 6, 4, 6], [5, 9, 2, 0]
BETA, ALPHA = 0.1, 0.4


def softened(x):
    return torch.logsumexp(torch.cat([torch.zeros_like(x[:, :1]), x], 1), 1)


def classifier(model, score, data):
    """The log-sum-exp loss of rows with a weight for each reading: safe, these categories, some category."""
    last = torch.stack([model.model(input_ids=torch.tensor([row])).last_hidden_state[0, -1] for row in data["rows"]])
    logits = last @ score.T
    labels = torch.tensor(data["labels"])
    known = softened(logits - 1e9 * labels) + softened(-logits - 1e9 * (1 - labels))
    unknown = F.softplus(-torch.logsumexp(logits, 1))
    readings = torch.tensor(data["readings"])
    return (readings[:, 0] * softened(logits) + readings[:, 1] * known + readings[:, 2] * unknown).mean()


def pretrain(model, score, data):
    """Next-token prediction over the whole vocabulary."""
    logits = model(input_ids=torch.tensor(data["ids"])).logits
    return F.cross_entropy(logits.flatten(0, 1), torch.tensor(data["targets"]).flatten())


def sampled(model, score, data):
    """Next-token prediction over some tokens, the drawn ones weighed."""
    hidden = model.model(input_ids=torch.tensor(data["ids"])).last_hidden_state.flatten(0, 1)
    logits = hidden @ model.lm_head.weight[torch.tensor(data["tokens"])].T + torch.tensor(data["offsets"])
    return F.cross_entropy(logits, torch.tensor(data["places"]))


def preference(model, score, data):
    """DPO and the likelihood of the chosen texts' tokens; token 0 ends a text."""
    def likelihood(prompt, text):
        ids = torch.tensor(prompt + text + [0])
        each = F.log_softmax(model(input_ids=ids[None, :-1]).logits[0], -1).gather(1, ids[1:, None])
        return each[len(prompt) - 1:].sum()

    chosen, rejected = (torch.stack([likelihood(p, t) for p, t in zip(data["prompts"], data[side])]) for side in ("chosen", "rejected"))
    margin = (chosen - torch.tensor(data["reference_chosen"])) - (rejected - torch.tensor(data["reference_rejected"]))
    lengths = torch.tensor([len(text) + 1.0 for text in data["chosen"]])
    return (F.softplus(-data["beta"] * margin) - data["alpha"] * chosen / lengths).mean()


def main():
    torch.manual_seed(7)
    draw = lambda n: torch.randint(1, SIZES["vocab_size"], (n,)).tolist()
    stream = [draw(11) for _ in range(3)]
    labels = torch.zeros(len(LENGTHS), 12)
    labels[1, 3] = labels[2, 0] = labels[2, 7] = labels[5, 11] = 1
    ids, targets = [row[:-1] for row in stream], [row[1:] for row in stream]
    flat = [t for row in targets for t in row]
    tokens = sorted(set(flat)) + sorted(set(range(SIZES["vocab_size"])) - set(flat))[:4]
    data = {
        "classifier": dict(rows=[draw(n) for n in LENGTHS], labels=labels.tolist(),
                           readings=[[1, 0, 0], [0, 1, 0], [0.1, 0.9, 0], [0, 0, 1], [0.7, 0, 0.3], [0.05, 0.95, 0.0]]),
        "pretrain": dict(ids=ids, targets=targets),
        "sampled": dict(ids=ids, tokens=tokens, places=[tokens.index(t) for t in flat], offsets=[0.0] * len(set(flat)) + [1.25] * 4),
        "preference": dict(prompts=[draw(n) for n in PROMPTS], chosen=[draw(n) for n in TARGETS], rejected=[draw(n) for n in reversed(TARGETS)],
                           reference_chosen=[-20.0, -31.0, -9.0, -4.0], reference_rejected=[-5.0, -10.0, -33.0, -22.0], beta=BETA, alpha=ALPHA),
    }
    steps = {"classifier": classifier, "pretrain": pretrain, "sampled": sampled, "preference": preference}
    result = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__, "data": data, "losses": {}}
    for name, (kind, config) in NETWORKS.items():
        model = kind(config).train()
        score = torch.nn.Parameter(torch.randn(12, SIZES["hidden_size"]) * 0.3)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.2)
        parameters = dict(model.named_parameters()) | {"score.weight": score}
        tensors = {f"value.{n}": p.detach().clone() for n, p in parameters.items()}
        result["losses"][name] = {}
        for step, loss in steps.items():
            value = loss(model, score, data[step])
            value.backward()
            result["losses"][name][step] = value.item()
            for n, p in parameters.items():
                if p.grad is not None:
                    tensors[f"{step}.{n}"] = p.grad.clone()
                    p.grad = None
        save_file(tensors, HERE / f"{name}.safetensors")
    (HERE / "steps.json").write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
