"""Drives an endpoint of the tests' small model with PyPI's `openai` client: openai_client.py URL."""

import sys
import threading

import openai
from openai import OpenAI

client = OpenAI(base_url=sys.argv[1] + "/v1", api_key="none", max_retries=0, timeout=60)
MESSAGES = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "the fox"}]
GREEDY = {"temperature": 0, "max_tokens": 24, "extra_body": {"ignore_eos": True}}


def expect(error, **arguments):
    try:
        client.chat.completions.create(**{"model": "tiny", "messages": MESSAGES, "max_tokens": 2, **arguments})
    except error as caught:
        return caught
    sys.exit(f"{arguments} was not refused with {error.__name__}")


# Models.
assert [model.id for model in client.models.list()] == ["tiny"]
assert client.models.retrieve("tiny").owned_by == "bedplate"

# Chat, whole and streamed.
whole = client.chat.completions.create(model="tiny", messages=MESSAGES, **GREEDY)
assert whole.choices[0].finish_reason == "length" and whole.choices[0].message.role == "assistant"
assert whole.usage.completion_tokens == 24 and whole.usage.prompt_tokens_details.cached_tokens == 0
chunks = list(
    client.chat.completions.create(
        model="tiny", messages=MESSAGES, stream=True, stream_options={"include_usage": True}, **GREEDY
    )
)
assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == whole.choices[0].message.content
assert chunks[-1].usage.completion_tokens == 24 and chunks[-1].usage.prompt_tokens == whole.usage.prompt_tokens
assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "length"

# Log-probabilities and several choices.
scored = client.chat.completions.create(model="tiny", messages=MESSAGES, logprobs=True, top_logprobs=2, n=2, **GREEDY)
assert len(scored.choices) == 2 and len(scored.choices[1].logprobs.content) == 24
assert len(scored.choices[0].logprobs.content[0].top_logprobs) == 2

# Completions, whole and streamed.
plain = client.completions.create(model="tiny", prompt=["the quick", "fn main"], logprobs=1, **GREEDY)
assert [choice.index for choice in plain.choices] == [0, 1] and len(plain.choices[0].logprobs.tokens) == 24
one = client.completions.create(model="tiny", prompt="the quick", **GREEDY)
streamed = client.completions.create(model="tiny", prompt="the quick", stream=True, **GREEDY)
assert "".join(chunk.choices[0].text for chunk in streamed) == one.choices[0].text == plain.choices[0].text

# Several streamed answers: the client's own accumulator takes the first chunk for that of answer 0.
with client.chat.completions.stream(model="tiny", messages=MESSAGES, n=3, **GREEDY) as stream:
    final = stream.until_done().current_completion_snapshot
assert [choice.message.content for choice in final.choices] == [whole.choices[0].message.content] * 3
several = client.completions.create(model="tiny", prompt=["the quick", "fn main"], stream=True, **GREEDY)
assert [chunk.choices[0].index for chunk in several][0] == 0

# Tokens that are parts of characters are told apart, and the likeliest is what was taken.
tops = client.completions.create(model="tiny", prompt="schöne", logprobs=20, **GREEDY).choices[0].logprobs
assert all(len(top) == 20 for top in tops.top_logprobs)
assert all(max(top.values()) == top[token] for token, top in zip(tops.tokens, tops.top_logprobs))
assert tops.token_logprobs == [max(top.values()) for top in tops.top_logprobs]

# Fields of other servers, and seeds of 64 bits.
extra = {"ignore_eos": True, "allowed_token_ids": [10, 11], "return_token_ids": True, "min_tokens": 4}
limited = client.completions.create(model="tiny", prompt="x", max_tokens=4, seed=2**64 - 1, extra_body=extra)
assert len(limited.choices[0].token_ids) == 4 and set(limited.choices[0].token_ids) <= {10, 11}
raw = client.completions.with_raw_response.create(model="tiny", prompt="x", max_tokens=1, extra_body={"tempo": 1})
assert raw.headers["bedplate-ignored-fields"] == "tempo"
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
assert "tools are not supported yet" in str(expect(openai.BadRequestError, tools=[TOOL]))
assert expect(openai.BadRequestError, extra_body={"guided_choice": ["a", "b"]}).param == "guided_choice"

# Errors arrive as the client's own classes, with the field.
assert expect(openai.BadRequestError, temperature=-1).param == "temperature"
assert expect(openai.BadRequestError, messages=[]).param == "messages"
assert expect(openai.NotFoundError, model="other").code == "model_not_found"
assert expect(openai.BadRequestError, max_tokens=10**6).code == "context_length_exceeded"

# A full queue is a rate limit that says when to come back. One runs, four wait, the next is refused.
endless = {"model": "tiny", "prompt": "x", "max_tokens": 60000, "stream": True, "extra_body": {"ignore_eos": True}}
held = [client.completions.create(**endless)]
next(iter(held[0]))
lock = threading.Lock()


def hold():
    stream = client.completions.create(**endless)
    with lock:
        held.append(stream)


threads = [threading.Thread(target=hold) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
refused = expect(openai.RateLimitError)
assert refused.response.headers["retry-after"] == "1" and refused.code == "queue_full"
[stream.close() for stream in held]
print("all good")
