"""Golden values of the preference loss, by PyTorch: python preference.py > preference.json (torch 2.x, CPU)."""
import json

import torch
import torch.nn.functional as F

torch.manual_seed(7)
cases = []
for beta, alpha, pairs in [(0.01, 0.4, 5), (0.1, 0.0, 3), (1.0, 0.4, 1)]:
    draw = lambda: -torch.rand(pairs, dtype=torch.float64) * 60 - 5
    chosen, rejected = draw().requires_grad_(), draw().requires_grad_()
    reference_chosen, reference_rejected = draw(), draw()
    lengths = torch.randint(3, 40, (pairs,)).double()
    margin = (chosen - reference_chosen) - (rejected - reference_rejected)
    loss = (-F.logsigmoid(beta * margin) + alpha * (-chosen / lengths)).mean()
    loss.backward()
    cases.append({
        "beta": beta, "alpha": alpha, "chosen": chosen.tolist(), "rejected": rejected.tolist(),
        "reference_chosen": reference_chosen.tolist(), "reference_rejected": reference_rejected.tolist(),
        "lengths": lengths.tolist(), "loss": loss.item(),
        "chosen_gradient": chosen.grad.tolist(), "rejected_gradient": rejected.grad.tolist(),
    })
print(json.dumps({"torch": torch.__version__.split("+")[0], "cases": cases}, indent=1))
