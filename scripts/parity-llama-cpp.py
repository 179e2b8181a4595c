"""Holds greedy answers of bedplate-inference against llama.cpp on the same GGUF file, with exact arithmetic as the judge.

    cargo build --release -p bedplate-inference
    $(scripts/venv.sh llama llama-cpp-python==0.3.36)/bin/python scripts/parity-llama-cpp.py \
        target/release/bedplate-inference "$(scripts/fetch-smollm2.sh)"

Serves the file, asks every prompt below for 32 greedy tokens over the chat endpoint, and lets llama.cpp continue the same
prompt tokens (which must also be what llama.cpp makes of the prompt's text). Equal means the same ids up to the end of both
answers. Where they part, each side's lead of its own choice over the other's is shown as a difference of logits, and the
lead of Bedplate's choice in exact arithmetic (scripts/gguf_reference.py); a difference counts as a near-tie while no lead
is above NEAR_TIE. How far both implementations' log-probabilities are from the exact ones is measured on the way. Prints
the tables of docs/parity.md as Markdown; ends with status 1 where a difference is not a near-tie.
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

import llama_cpp
import numpy as np
from gguf_reference import Reference

NUM_TOKENS = 32
NUM_TOP = 10
# Logits; llama.cpp's own are off by up to this for 4-bit weights, since it rounds activations to 8 bits (docs/parity.md).
NEAR_TIE = 0.5
# Log-probabilities below this belong to tokens that no sampling reaches; they are not compared.
LEAST_COMPARED = -8
READY_DEADLINE_SECONDS = 120
PROMPTS = [
    "What is the capital of France?",
    "Name three primary colours.",
    "How many legs does a spider have?",
    "Write one sentence about the sea.",
    "What is 12 plus 30?",
    "Translate 'good morning' into Spanish.",
    "Who wrote Romeo and Juliet?",
    "Explain photosynthesis to a child.",
    "List the days of the week.",
    "What is the largest planet of the solar system?",
    "Give me a recipe for pancakes.",
    "Why is the sky blue?",
    "Write a Python function that adds two numbers.",
    "What is the boiling point of water?",
    "Tell me a short story about a dragon.",
    "What is the difference between a list and a tuple in Python?",
    "Summarise: The quick brown fox jumps over the lazy dog.",
    "Who was the first person on the Moon?",
    "Wie geht es dir?",
    "¿Cuál es la capital de España?",
    "Complete: To be, or not to be,",
    "Give two reasons to learn mathematics.",
    "What does HTTP stand for?",
    "Write a haiku about autumn.",
    "Is a tomato a fruit or a vegetable? 🍅",
]


class Server:
    """A bedplate-inference process over a job file of its own."""

    def __init__(self, binary, model, folder):
        self.progress = folder / "progress.jsonl"
        job = {
            "metadata": {"name": "parity", "namespace": "default"},
            "modelUri": f"file:{model}",
            "servedModelName": "parity",
            "engine": {"maxNumSeqs": 8, "maxNumBatchedTokens": 512, "maxModelLen": 1024},
            "httpAddress": "127.0.0.1:0",
            "cacheDir": str(folder),
            "progressFile": str(self.progress),
        }
        config = folder / "job.json"
        config.write_text(json.dumps(job))
        self.process = subprocess.Popen([binary, "--config", config])

    def url(self):
        begun = time.monotonic()
        while time.monotonic() - begun < READY_DEADLINE_SECONDS:
            if self.process.poll() is not None:
                sys.exit(f"the server ended with status {self.process.returncode} before it was ready")
            lines = self.progress.read_text().splitlines() if self.progress.exists() else []
            for event in map(json.loads, lines):
                if url := find(event, "url"):
                    return url.removesuffix("/v1")
            time.sleep(0.05)
        sys.exit(f"the server was not ready after {READY_DEADLINE_SECONDS} s")

    def stop(self):
        self.process.terminate()
        self.process.wait()


def find(value, key):
    """The value of `key` anywhere in nested objects."""
    if isinstance(value, dict):
        return value.get(key) or next((hit for inner in value.values() if (hit := find(inner, key))), None)
    return None


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as response:
        return json.load(response)


def bedplate_answer(url, ids_by_bytes, prompt):
    """Prompt ids, answer ids, and the log-probabilities of the likeliest tokens at each position, by id."""
    messages = [{"role": "user", "content": prompt}]
    prompt_ids = post(f"{url}/tokenize", {"messages": messages})["tokens"]
    body = {"messages": messages, "max_tokens": NUM_TOKENS, "temperature": 0, "logprobs": True, "top_logprobs": NUM_TOP}
    content = post(f"{url}/v1/chat/completions", body)["choices"][0]["logprobs"]["content"]
    token_id = lambda entry: ids_by_bytes[bytes(entry["bytes"])]
    tops = [{token_id(entry): entry["logprob"] for entry in [spot, *spot["top_logprobs"]]} for spot in content]
    return prompt_ids, [token_id(spot) for spot in content], tops


class Llama:
    """llama.cpp through llama-cpp-python's plain bindings."""

    def __init__(self, model):
        # One thread: on a busy machine its threads wait for one another far longer than they compute.
        self.llama = llama_cpp.Llama(model, n_ctx=1024, n_threads=1, n_threads_batch=1, verbose=False)
        self.vocab_size = self.llama.n_vocab()

    def ids_by_bytes(self):
        table = {}
        for token in range(self.vocab_size):
            buffer = (llama_cpp.ctypes.c_char * 512)()
            length = llama_cpp.llama_token_to_piece(self.llama._model.vocab, token, buffer, 512, 0, True)
            table.setdefault(bytes(buffer[:length]), token)
        return table

    def text(self, tokens):
        return self.llama.detokenize(tokens, special=True).decode(errors="replace")

    def tokens(self, text):
        return self.llama.tokenize(text.encode(), add_bos=False, special=True)

    def log_probabilities(self):
        pointer = llama_cpp.llama_get_logits(self.llama._ctx.ctx)
        logits = np.ctypeslib.as_array(pointer, (self.vocab_size,)).astype(np.float64)
        largest = logits.max()
        return logits - largest - math.log(np.exp(logits - largest).sum())

    def answer(self, prompt_ids):
        """Answer ids without the end token, and the log-probabilities of all tokens at each position."""
        self.llama.reset()
        answer, tables, tokens = [], [], prompt_ids
        while len(answer) < NUM_TOKENS:
            self.llama.eval(tokens)
            tables.append(self.log_probabilities())
            token = int(tables[-1].argmax())
            if token == self.llama.token_eos():
                break
            answer.append(token)
            tokens = [token]
        return answer, tables


class Noise:
    """How far log-probabilities are from exact ones."""

    def __init__(self):
        self.differences = {"Bedplate": [], "llama.cpp": []}

    def add(self, tops, tables, exact):
        for top, table, judge in zip(tops, tables, exact):
            for token, logprob in top.items():
                if judge[token] > LEAST_COMPARED:
                    self.differences["Bedplate"].append(abs(logprob - judge[token]))
                    self.differences["llama.cpp"].append(abs(table[token] - judge[token]))

    def table(self):
        rows = ["| distance from exact log-probabilities | tokens | mean | 99th percentile | largest |", "|---|---|---|---|---|"]
        for name, values in self.differences.items():
            figures = np.mean(values), np.quantile(values, 0.99), max(values)
            rows.append(f"| {name} | {len(values)} | " + " | ".join(f"{figure:.4f}" for figure in figures) + " |")
        return "\n".join(rows)


class Comparison:
    """One prompt's answers side by side."""

    def __init__(self, prompt, ours, tops, theirs, tables, exact):
        self.prompt, self.ours, self.theirs = prompt, ours, theirs
        shorter = min(len(ours), len(theirs))
        self.common = next((i for i in range(shorter) if ours[i] != theirs[i]), shorter)
        self.parts = self.common < shorter
        if self.parts:
            a, b = self.pair = ours[self.common], theirs[self.common]
            top, table, judge = tops[self.common], tables[self.common], exact[self.common]
            # Outside the likeliest tokens Bedplate tells no log-probability; its lead is then at least this.
            self.leads = top[a] - top.get(b, min(top.values())), table[b] - table[a], judge[a] - judge[b]

    def failure(self):
        if self.parts and max(map(abs, self.leads)) > NEAR_TIE:
            return f"{self.prompt!r} parts at token {self.common} with leads of {self.leads}"
        if not self.parts and len(self.ours) != len(self.theirs):
            return f"{self.prompt!r}: one answer ends after {len(self.ours)}, the other after {len(self.theirs)} tokens"
        return None

    def row(self, text):
        row = f"| {self.prompt} | {self.common} of {max(len(self.ours), len(self.theirs))} |"
        if not self.parts:
            return row + " | | |"
        (a, b), (ours, theirs, exact) = self.pair, self.leads
        quoted = lambda token: json.dumps(text([token]), ensure_ascii=False)
        return row + f" {quoted(a)} {ours:+.3f} | {quoted(b)} {theirs:+.3f} | {exact:+.3f} |"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("model")
    arguments = parser.parse_args()
    model = str(pathlib.Path(arguments.model).resolve())
    llama, reference, noise = Llama(model), Reference(model), Noise()
    ids_by_bytes = llama.ids_by_bytes()
    comparisons, failures = [], []
    with tempfile.TemporaryDirectory() as folder:
        server = Server(arguments.binary, model, pathlib.Path(folder))
        try:
            url = server.url()
            for prompt in PROMPTS:
                prompt_ids, ours, tops = bedplate_answer(url, ids_by_bytes, prompt)
                if llama.tokens(llama.text(prompt_ids)) != prompt_ids:
                    failures.append(f"{prompt!r} has other tokens in llama.cpp")
                theirs, tables = llama.answer(prompt_ids)
                exact = reference.log_probabilities(prompt_ids + ours)[len(prompt_ids) - 1 :]
                comparison = Comparison(prompt, ours, tops, theirs, tables, exact)
                # Where they part both have seen the same tokens; behind it they have not.
                seen = comparison.common + 1
                noise.add(tops[:seen], tables[:seen], exact[:seen])
                comparisons.append(comparison)
                print(comparison.row(llama.text), file=sys.stderr, flush=True)
        finally:
            server.stop()
    failures += [failure for comparison in comparisons if (failure := comparison.failure())]
    print("| prompt | equal tokens | Bedplate's choice, its lead | llama.cpp's choice, its lead | Bedplate's lead in exact arithmetic |")
    print("|---|---|---|---|---|")
    print("\n".join(comparison.row(llama.text) for comparison in comparisons))
    parted = [comparison for comparison in comparisons if comparison.parts]
    right = sum(comparison.leads[2] > 0 for comparison in parted)
    print(f"\n{len(comparisons) - len(parted)} of {len(comparisons)} answers are equal to the end. In {right} of the {len(parted)} others exact arithmetic")
    print(f"chooses as Bedplate does.\n\n{noise.table()}")
    print("\n".join(failures), file=sys.stderr)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
