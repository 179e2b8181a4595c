"""Holds the engine's training against transformers' LlamaForCausalLM on the same weights and the same batch.

    $(scripts/venv.sh torch torch transformers safetensors numpy)/bin/python scripts/parity-train.py

Runs the engine's example `parity`, loads the model folder that it wrote, and compares loss, the gradient of every tensor,
and the losses and gradient norms of ten AdamW steps. The judge is PyTorch in f64; PyTorch in f32 on the same machine shows
what f32 can do. Documents go through PyTorch one by one, so the engine's document mask is judged too. Prints the tables of
docs/parity.md as Markdown; ends with status 1 where an error is beyond its bound.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file
from transformers import LlamaForCausalLM

# Largest difference over largest element. f32 through three blocks gives some 1e-6; a wrong term gives 1e-2 and more.
GRADIENT_BOUND = 2e-5
# Ten steps let rounding grow through the optimiser's division by small moments.
LOSS_BOUND = 1e-5


def documents(run):
    """The token ids of each document that has something to predict."""
    for sequence, lengths in enumerate(run["segment_lengths"]):
        start = sequence * run["sequence_length"]
        for length in lengths:
            if length > 1:
                yield torch.tensor(run["tokens"][start : start + length])
            start += length


def mean_loss(model, run):
    total, count = 0.0, 0
    for tokens in documents(run):
        logits = model(tokens[None]).logits[0, :-1]
        total = total + torch.nn.functional.cross_entropy(logits, tokens[1:], reduction="sum")
        count += len(tokens) - 1
    return total / count, count


def train(folder, run, dtype):
    """Losses, gradient norms and the first step's gradients (of the sum of losses)."""
    model = LlamaForCausalLM.from_pretrained(folder / "model", attn_implementation="eager").to(dtype)
    model.model.rotary_emb.inv_freq = model.model.rotary_emb.original_inv_freq = exact_frequencies(model.config, dtype)
    matrices = [weight for weight in model.parameters() if weight.dim() > 1]
    vectors = [weight for weight in model.parameters() if weight.dim() == 1]
    groups = [{"params": matrices, "weight_decay": run["weight_decay"]}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=run["learning_rate"], betas=(run["beta1"], run["beta2"]), eps=run["eps"])
    losses, norms, gradients = [], [], {}
    for step in range(len(run["losses"])):
        optimizer.zero_grad()
        loss, count = mean_loss(model, run)
        loss.backward()
        if step == 0:
            gradients = {name: weight.grad.double() * count for name, weight in model.named_parameters()}
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), run["max_gradient_norm"]).item())
        losses.append(loss.item())
        optimizer.step()
    return losses, norms, gradients


def exact_frequencies(config, dtype):
    """transformers works the rotary frequencies out in f32; the judge has them in its own precision."""
    exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float64) / config.head_dim
    theta = (getattr(config, "rope_parameters", None) or {}).get("rope_theta") or config.rope_theta
    return (theta**-exponents).to(dtype)


def relative(have, want):
    return ((have - want).abs().max() / want.abs().max()).item()


def compare(head):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        example = ["cargo", "run", "--quiet", "--release", "--package", "bedplate-engine", "--example", "parity"]
        subprocess.run([*example, "--", name, head], check=True)
        run = json.loads((folder / "run.json").read_text())
        ours = {name: value.double() for name, value in load_file(folder / "gradients.safetensors").items()}
        judge_losses, judge_norms, judge = train(folder, run, torch.float64)
        torch_losses, torch_norms, torch_f32 = train(folder, run, torch.float32)
    if ours.keys() != judge.keys():
        sys.exit(f"the tensors differ: {sorted(ours.keys() ^ judge.keys())}")
    print(f"\n### {head} head\n\n| gradient of | Bedplate f32 | PyTorch f32 |\n|---|---|---|")
    errors = [(relative(ours[name], judge[name]), relative(torch_f32[name], judge[name])) for name in judge]
    for name, (mine, peer) in zip(judge, errors):
        print(f"| {name} | {mine:.1e} | {peer:.1e} |")
    print("\n| step | loss (PyTorch f64) | Bedplate, relative error | PyTorch f32 | gradient norm, Bedplate | PyTorch f32 |\n|---|---|---|---|---|---|")
    drift = []
    for step, (loss, norm) in enumerate(zip(judge_losses, judge_norms)):
        cells = [abs(run["losses"][step] / loss - 1), abs(torch_losses[step] / loss - 1)]
        cells += [abs(run["gradient_norms"][step] / norm - 1), abs(torch_norms[step] / norm - 1)]
        drift.append(cells[0])
        print(f"| {step + 1} | {loss:.9f} | " + " | ".join(f"{cell:.1e}" for cell in cells) + " |")
    return max(mine for mine, _ in errors) < GRADIENT_BOUND and max(drift) < LOSS_BOUND


torch.manual_seed(0)
passed = [compare(head) for head in ("tied", "untied")]
print("\n" + ("within bounds" if all(passed) else "BEYOND BOUNDS"))
sys.exit(0 if all(passed) else 1)
