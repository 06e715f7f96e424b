"""Golden loss and gradients of one step of an encoder, by PyTorch and transformers in f32 on a CPU:

    python encoder.py      # writes encoder.json and encoder.safetensors beside this file
"""
import json
import pathlib

import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
SIZES = dict(hidden_size=16, num_hidden_layers=3, num_attention_heads=4, intermediate_size=24, vocab_size=40,
             max_position_embeddings=20, type_vocab_size=2, layer_norm_eps=1e-12, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
FROZEN = 1  # lower layers; the embeddings always are
CATEGORIES, LANGUAGES, WEIGHT = 12, 3, 0.3
LENGTHS = [7, 3, 12, 5, 9, 1]


def softened(x):
    return torch.logsumexp(torch.cat([torch.zeros_like(x[:, :1]), x], 1), 1)


def loss(model, weight, bias, data):
    """The log-sum-exp loss of rows with a weight for each reading, and the cross-entropy of the known languages."""
    means = torch.stack([model(input_ids=torch.tensor([row])).last_hidden_state[0].mean(0) for row in data["rows"]])
    both = means @ weight.T + bias
    logits, languages = both[:, :CATEGORIES], both[:, CATEGORIES:]
    labels = torch.tensor(data["labels"])
    known = softened(logits - 1e9 * labels) + softened(-logits - 1e9 * (1 - labels))
    unknown = F.softplus(-torch.logsumexp(logits, 1))
    readings = torch.tensor(data["readings"])
    of_categories = (readings[:, 0] * softened(logits) + readings[:, 1] * known + readings[:, 2] * unknown).mean()
    targets = torch.tensor([-100 if language is None else language for language in data["languages"]])
    return of_categories + WEIGHT * F.cross_entropy(languages, targets)


def main():
    torch.manual_seed(7)
    draw = lambda n: torch.randint(1, SIZES["vocab_size"], (n,)).tolist()
    labels = torch.zeros(len(LENGTHS), CATEGORIES)
    labels[1, 3] = labels[2, 0] = labels[2, 7] = labels[5, 11] = 1
    data = dict(rows=[draw(n) for n in LENGTHS], labels=labels.tolist(), languages=[0, None, 2, 1, None, 2],
                readings=[[1, 0, 0], [0, 1, 0], [0.1, 0.9, 0], [0, 0, 1], [0.7, 0, 0.3], [0.05, 0.95, 0.0]])
    model = transformers.BertModel(transformers.BertConfig(**SIZES), add_pooling_layer=False).train()
    weight = torch.nn.Parameter(torch.randn(CATEGORIES + LANGUAGES, SIZES["hidden_size"]) * 0.3)
    bias = torch.nn.Parameter(torch.randn(CATEGORIES + LANGUAGES) * 0.3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    frozen = [model.embeddings, *model.encoder.layer[:FROZEN]]
    for module in frozen:
        module.requires_grad_(False)
    named = {f"bert.{n}": p for n, p in model.named_parameters()} | {"classifier.weight": weight, "classifier.bias": bias}
    value = loss(model, weight, bias, data)
    value.backward()
    tensors = {f"value.{n}": p.detach().clone() for n, p in named.items()}
    tensors |= {f"gradient.{n}": p.grad.clone() for n, p in named.items() if p.grad is not None}
    save_file(tensors, HERE / "encoder.safetensors")
    result = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__, "loss": value.item(), "data": data}
    (HERE / "encoder.json").write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
