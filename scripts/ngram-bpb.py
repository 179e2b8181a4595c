#!/usr/bin/env python3
"""What classic compressors make of a Dataset's hold-out, in bits per byte: the yardstick for the trained model.

    bedplate-dataset --config job.json --dump-split train > train.bin
    bedplate-dataset --config job.json --dump-split holdout > holdout.bin
    scripts/ngram-bpb.py train.bin holdout.bin [--order 5] [--train-mib 32] [--xz]

Documents end with a NUL byte, which is predicted like any other byte and counted as one.

The n-gram model is interpolated Kneser-Ney over bytes (Kneser & Ney 1995; Chen & Goodman 1999, equation for one discount
per order): the highest order uses counts, the lower ones the number of different bytes seen before an n-gram, and each
order's discount is n1 / (n1 + 2 n2). The unigram is interpolated with the uniform distribution over 256 bytes, so every
byte has a probability. It is a static model: the hold-out teaches it nothing. numpy only.
"""

import argparse
import lzma
import math
import sys
import time

import numpy as np

# Keys of positions that have no full context; above every real key of order 6 or less.
NO_KEY = np.uint64(2**63)


def keys(data: np.ndarray, length: int) -> np.ndarray:
    """The `length` bytes that end at each position as one number; NO_KEY where the text begins later."""
    out = np.zeros(len(data), dtype=np.uint64)
    for back in range(length):
        out[back:] |= data[: len(data) - back].astype(np.uint64) << np.uint64(8 * back)
    out[: length - 1] = NO_KEY
    return out


class Order:
    """Counts of one order: n-grams, and for each context its total and its number of different successors."""

    def __init__(self, grams: np.ndarray, counts: np.ndarray):
        self.grams, self.counts = grams, counts.astype(np.float64)
        n1, n2 = int((counts == 1).sum()), int((counts == 2).sum())
        self.discount = n1 / (n1 + 2 * n2) if n1 and n2 else 0.5
        contexts, first = np.unique(grams >> np.uint64(8), return_index=True)
        self.contexts = contexts
        self.totals = np.add.reduceat(self.counts, first)
        self.kinds = np.diff(np.append(first, len(grams))).astype(np.float64)

    def interpolate(self, query: np.ndarray, lower: np.ndarray) -> np.ndarray:
        """p(byte | context) for each n-gram in `query`, from `lower`, the same of the order below."""
        count = np.where(self.grams[at := locate(self.grams, query)] == query, self.counts[at], 0.0)
        context = query >> np.uint64(8)
        at = locate(self.contexts, context)
        known = self.contexts[at] == context
        total = np.where(known, self.totals[at], 1.0)
        weight = np.where(known, self.discount * self.kinds[at] / total, 1.0)
        return np.maximum(count - self.discount, 0.0) / total + weight * lower


def locate(table: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Where each of `query` would be in the sorted `table`, as a valid index."""
    return np.minimum(np.searchsorted(table, query), len(table) - 1)


def train(data: np.ndarray, order: int) -> list[Order]:
    """One `Order` for each length from 1 to `order`."""
    grams, counts = np.unique(keys(data, order)[order - 1 :], return_counts=True)
    orders = [Order(grams, counts)]
    for length in range(order - 1, 0, -1):
        # Continuation counts: in how many different n-grams of the order above this one is the end.
        mask = np.uint64(2 ** (8 * length) - 1)
        grams, counts = np.unique(orders[0].grams & mask, return_counts=True)
        orders.insert(0, Order(grams, counts))
    return orders


def bits_per_byte(orders: list[Order], data: np.ndarray) -> float:
    """Mean -log2 p over every byte of `data`, the first ones with as much context as there is."""
    probability = np.full(len(data), 1 / 256)
    for length, order in enumerate(orders, start=1):
        query = keys(data, length)
        probability = np.where(query == NO_KEY, probability, order.interpolate(query, probability))
    return float(-np.log2(probability).mean())


def xz_bits_per_byte(holdout: bytes) -> float:
    """xz -9 -e of the hold-out alone: its dictionary begins empty."""
    compressed = lzma.compress(holdout, preset=9 | lzma.PRESET_EXTREME)
    return 8 * len(compressed) / len(holdout)


def xz_primed_bits_per_byte(train_text: bytes, holdout: bytes) -> float:
    """What the hold-out adds to an xz file of train text in front of it, with a dictionary that holds all of both."""
    size = 1 << max(20, math.ceil(math.log2(len(train_text) + len(holdout))))
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": size}]
    alone = len(lzma.compress(train_text, format=lzma.FORMAT_XZ, filters=filters))
    both = len(lzma.compress(train_text + holdout, format=lzma.FORMAT_XZ, filters=filters))
    return 8 * (both - alone) / len(holdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train")
    parser.add_argument("holdout")
    parser.add_argument("--order", type=int, default=5, choices=range(1, 7), help="bytes of an n-gram (default 5)")
    parser.add_argument("--train-mib", type=int, default=0, help="use only the first MiB of the train text (0: all)")
    parser.add_argument("--xz", action="store_true", help="also measure xz -9, with and without a primed dictionary")
    arguments = parser.parse_args()
    with open(arguments.train, "rb") as file:
        text = file.read(arguments.train_mib << 20 if arguments.train_mib else -1)
    with open(arguments.holdout, "rb") as file:
        holdout = file.read()
    if not text or not holdout:
        sys.exit("both files must hold text")
    begin = time.monotonic()
    orders = train(np.frombuffer(text, dtype=np.uint8), arguments.order)
    found = bits_per_byte(orders, np.frombuffer(holdout, dtype=np.uint8))
    seconds = time.monotonic() - begin
    print(f"train {len(text)} bytes, hold-out {len(holdout)} bytes")
    print(f"order-{arguments.order} byte n-gram, interpolated Kneser-Ney: {found:.4f} bits per byte ({seconds:.0f} s)")
    if arguments.xz:
        print(f"xz -9e, hold-out alone: {xz_bits_per_byte(holdout):.4f} bits per byte")
        primed = xz_primed_bits_per_byte(text, holdout)
        print(f"xz -9, dictionary primed with the train text: {primed:.4f} bits per byte")


if __name__ == "__main__":
    main()
