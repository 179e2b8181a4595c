"""The peer of `cargo xtask bench serve-cpu`: llama.cpp through llama-cpp-python on the same GGUF file.

Prefill is one batch of 512 tokens, decode 64 single tokens after a short prompt. Prints one JSON object of figures.
"""

import argparse
import json
import statistics
import time

from llama_cpp import Llama

PREFILL, DECODE, PROMPT, RUNS = 512, 64, 16, 3


def rate(llama, prompt, decode):
    """Seconds of evaluating `prompt` and then `decode` tokens one by one."""
    llama.reset()
    start = time.perf_counter()
    llama.eval(prompt)
    middle = time.perf_counter()
    for token in decode:
        llama.eval([token])
    return middle - start, time.perf_counter() - middle


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    start = time.perf_counter()
    llama = Llama(arguments.model, n_ctx=1024, n_batch=512, n_threads=arguments.threads,
                  n_threads_batch=arguments.threads, verbose=False)
    load = time.perf_counter() - start
    tokens = [(i * 7919) % 40000 + 100 for i in range(PREFILL)]
    rate(llama, tokens[:32], tokens[:4])
    prefill = statistics.median(PREFILL / rate(llama, tokens, [])[0] for _ in range(RUNS))
    decode = statistics.median(DECODE / rate(llama, tokens[:PROMPT], tokens[:DECODE])[1] for _ in range(RUNS))
    print(json.dumps({"prefill 512": prefill, "decode": decode, "loads per second": 1 / load}))


main()
