#!/usr/bin/env bash
# transformers 5.24.0, tokenizers 0.23.3: `add_bos_token` of tokenizer_config.json counts for nothing beside a tokenizer.json. Whether
# a text begins with BOS is decided by the post-processor alone: `false` does not take its BOS away, `true` adds none where it has none.
# Seen (ids of "hello world", <s> is 1): with a post-processor [1, 3, 4] for true, false and no key; without one [3, 4] for all three.
# What follows for a server: read the post-processor, or a prompt differs from what the model was trained on by its first token.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check transformers==5.24.0 tokenizers==0.23.3
HF_HUB_OFFLINE=1 HF_HOME=$work/home TRANSFORMERS_VERBOSITY=error "$work/venv/bin/python" - "$work" <<'PY'
import json, pathlib, sys
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoTokenizer

VOCABULARY = {"<unk>": 0, "<s>": 1, "</s>": 2, "hello": 3, "world": 4}

def folder(number, has_post_processor, asked):
    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    if has_post_processor:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    path = pathlib.Path(sys.argv[1], str(number))
    path.mkdir()
    tokenizer.save(str(path / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    config |= {} if asked is None else {"add_bos_token": asked}
    (path / "tokenizer_config.json").write_text(json.dumps(config))
    return path

seen = {}
for has_post_processor in (True, False):
    for asked in (True, False, None):
        path = folder(len(seen), has_post_processor, asked)
        ids = AutoTokenizer.from_pretrained(path)("hello world")["input_ids"]
        print(f"post-processor: {has_post_processor!s:5}  add_bos_token: {asked!s:5}  -> {ids}")
        seen[has_post_processor, asked] = ids
changed = [key for key, ids in seen.items() if ids != ([1, 3, 4] if key[0] else [3, 4])]
sys.exit(f"this has changed: {changed}" if changed else 0)
PY
