"""Logits of a GGUF llama model (F32, F16, Q8_0, Q4_0, Q4_1) in exact arithmetic: weights expanded, everything else in f64.

Slow and plain on purpose: it is the judge between implementations that round. Read by scripts/parity-llama-cpp.py.
"""

import pathlib
import struct

import numpy as np

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9


class Reader:
    def __init__(self, data):
        self.data, self.offset = data, 0

    def scalar(self, code):
        (value,) = struct.unpack_from("<" + code, self.data, self.offset)
        self.offset += struct.calcsize("<" + code)
        return value

    def string(self):
        length = self.scalar("Q")
        self.offset += length
        return self.data[self.offset - length : self.offset].decode(errors="replace")

    def value(self, kind):
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            kind, length = self.scalar("I"), self.scalar("Q")
            return [self.value(kind) for _ in range(length)]
        return self.scalar(SCALARS[kind])


def halves(blocks, start):
    return blocks[:, start : start + 2].copy().view(np.float16).astype(np.float64)


def expand(kind, data, count):
    """The numbers that stored bytes stand for, by ggml's block formulas."""
    blocks = lambda size: np.frombuffer(data, np.uint8, count // 32 * size).reshape(-1, size)
    nibbles = lambda quants: np.concatenate([quants & 15, quants >> 4], 1).astype(np.float64)
    if kind == 0:
        return np.frombuffer(data, np.float32, count).astype(np.float64)
    if kind == 1:
        return np.frombuffer(data, np.float16, count).astype(np.float64)
    if kind == 2:
        return halves(blocks(18), 0) * (nibbles(blocks(18)[:, 2:]) - 8)
    if kind == 3:
        return halves(blocks(20), 0) * nibbles(blocks(20)[:, 4:]) + halves(blocks(20), 2)
    if kind == 8:
        return halves(blocks(34), 0) * blocks(34)[:, 2:].view(np.int8)
    raise ValueError(f"tensor type {kind} is not known here")


class Reference:
    """The model of a file."""

    def __init__(self, path):
        reader = Reader(pathlib.Path(path).read_bytes())
        assert reader.data[:4] == b"GGUF"
        reader.offset = 8
        num_tensors, num_keys = reader.scalar("Q"), reader.scalar("Q")
        self.metadata = {}
        for _ in range(num_keys):
            key = reader.string()
            self.metadata[key] = reader.value(reader.scalar("I"))
        self.directory = {}
        for _ in range(num_tensors):
            name = reader.string()
            shape = [reader.scalar("Q") for _ in range(reader.scalar("I"))][::-1]
            self.directory[name] = shape, reader.scalar("I"), reader.scalar("Q")
        alignment = self.metadata.get("general.alignment", 32)
        start = -(-reader.offset // alignment) * alignment
        self.data = memoryview(reader.data)[start:]
        self.embedding = self.tensor("token_embd.weight")

    def tensor(self, name):
        shape, kind, offset = self.directory[name]
        return expand(kind, self.data[offset:], int(np.prod(shape))).reshape(shape)

    def key(self, name, default=None):
        return self.metadata.get(f"llama.{name}", default)

    def norm(self, x, name):
        eps = self.key("attention.layer_norm_rms_epsilon")
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * self.tensor(name)

    def rotate(self, heads):
        """Turns neighbouring pairs (2i, 2i + 1) of `[tokens, heads, width]` by position / base^(2i / width)."""
        tokens, _, width = heads.shape
        frequencies = float(self.key("rope.freq_base", 10000.0)) ** (-np.arange(0, width, 2) / width)
        angles = (np.arange(tokens)[:, None] * frequencies)[:, None]
        a, b = heads[..., 0::2], heads[..., 1::2]
        turned = np.empty_like(heads)
        turned[..., 0::2] = a * np.cos(angles) - b * np.sin(angles)
        turned[..., 1::2] = b * np.cos(angles) + a * np.sin(angles)
        return turned

    def attention(self, x, block):
        tokens, num_heads = len(x), self.key("attention.head_count")
        project = lambda part, heads: (x @ self.tensor(f"{block}.attn_{part}.weight").T).reshape(tokens, heads, -1)
        num_kv_heads = self.key("attention.head_count_kv", num_heads)
        q, k, v = project("q", num_heads), project("k", num_kv_heads), project("v", num_kv_heads)
        q, k = self.rotate(q), np.repeat(self.rotate(k), num_heads // num_kv_heads, 1)
        scores = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(q.shape[-1])
        scores += np.triu(np.full((tokens, tokens), -np.inf), 1)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        mixed = np.einsum("hij,jhd->ihd", weights, np.repeat(v, num_heads // num_kv_heads, 1))
        return mixed.reshape(tokens, -1) @ self.tensor(f"{block}.attn_output.weight").T

    def feed_forward(self, x, block):
        gate = x @ self.tensor(f"{block}.ffn_gate.weight").T
        up = x @ self.tensor(f"{block}.ffn_up.weight").T
        return (gate / (1 + np.exp(-gate)) * up) @ self.tensor(f"{block}.ffn_down.weight").T

    def log_probabilities(self, tokens):
        """Of every next token after each of `tokens`, `[tokens, vocabulary]`."""
        x = self.embedding[tokens]
        for index in range(self.key("block_count")):
            block = f"blk.{index}"
            x = x + self.attention(self.norm(x, f"{block}.attn_norm.weight"), block)
            x = x + self.feed_forward(self.norm(x, f"{block}.ffn_norm.weight"), block)
        head = self.tensor("output.weight") if "output.weight" in self.directory else self.embedding
        logits = self.norm(x, "output_norm.weight") @ head.T
        logits -= logits.max(-1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(-1, keepdims=True))
