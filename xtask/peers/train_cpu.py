"""The peer of `cargo xtask bench train-cpu`: the quickstart's decoder as a lean PyTorch module, f32 on the CPU.

Same shape, same batch, same work: forward, loss over every position, backward, clipping, AdamW. Attention through
scaled_dot_product_attention, AdamW fused: what PyTorch does best without a compiler. Prints one JSON object of figures.
"""

import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F

HIDDEN, FFN, LAYERS, HEADS, KV_HEADS, HEAD_DIM = 256, 704, 6, 4, 2, 64
VOCAB, SEQUENCE, BATCH = 4096, 256, 8
WARM_UP = 3


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        linear = lambda rows, columns: torch.nn.Linear(columns, rows, bias=False)
        self.input_norm, self.post_norm = torch.nn.RMSNorm(HIDDEN, 1e-5), torch.nn.RMSNorm(HIDDEN, 1e-5)
        self.qkv = linear((HEADS + 2 * KV_HEADS) * HEAD_DIM, HIDDEN)
        self.o = linear(HIDDEN, HEADS * HEAD_DIM)
        self.gate_up, self.down = linear(2 * FFN, HIDDEN), linear(HIDDEN, FFN)

    def forward(self, x, cos, sin):
        batch, length, _ = x.shape
        qkv = self.qkv(self.input_norm(x)).view(batch, length, -1, HEAD_DIM).transpose(1, 2)
        q, k, v = qkv.split([HEADS, KV_HEADS, KV_HEADS], dim=1)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + self.o(attended.transpose(1, 2).reshape(batch, length, -1))
        gate, up = self.gate_up(self.post_norm(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class Decoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(VOCAB, HIDDEN)
        self.blocks = torch.nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = torch.nn.RMSNorm(HIDDEN, 1e-5)
        torch.nn.init.normal_(self.embedding.weight, std=0.02)
        angles = torch.outer(torch.arange(SEQUENCE), 10000.0 ** (-torch.arange(0, HEAD_DIM, 2) / HEAD_DIM))
        self.cos, self.sin = angles.cos().repeat(1, 2), angles.sin().repeat(1, 2)

    def loss(self, tokens, targets):
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        logits = F.linear(self.norm(x), self.embedding.weight)
        return F.cross_entropy(logits.view(-1, VOCAB), targets.view(-1))


def rotate(x, cos, sin):
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-right, left), dim=-1) * sin


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    model = Decoder()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    text = torch.randint(VOCAB, (BATCH, SEQUENCE + 1))
    tokens, targets = text[:, :-1].contiguous(), text[:, 1:].contiguous()
    seconds = []
    for _ in range(WARM_UP + arguments.steps):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        model.loss(tokens, targets).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"tokens per second": BATCH * SEQUENCE / statistics.median(seconds[WARM_UP:])}))


main()
