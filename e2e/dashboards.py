"""Makes traffic at an inference server and asks Prometheus every query of the dashboards; see dashboards.sh."""

import argparse
import json
import pathlib
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

# Long enough for a loaded machine to answer a chat and to be scraped twice.
DEADLINE_SECONDS = 120
# What Grafana puts in: the range for rates, and every value of each variable.
SUBSTITUTES = {"$__rate_interval": "30s", "$kind": ".*", "$namespace": ".*", "$name": ".*", "$model_name": ".*"}
VARIABLE = re.compile(r"label_values\((?P<series>.+), (?P<label>\w+)\)")
METRIC = re.compile(r"\b(?:vllm:|bedplate_)[a-z0-9_]+")
# A histogram is registered under its base name.
PARTS = re.compile(r"_(bucket|sum|count)$")


def get(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return json.load(error)


def queries(folder):
    """Board, panel and query of everything that Grafana would ask."""
    for path in sorted(pathlib.Path(folder).glob("*.json")):
        board = json.loads(path.read_text())
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                series, label = VARIABLE.fullmatch(variable["definition"]).group("series", "label")
                yield path.stem, f"variable {variable['name']}", f"count by ({label}) ({series})"
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                yield path.stem, panel["title"], target["expr"]


def concrete(expr):
    for name in sorted(SUBSTITUTES, key=len, reverse=True):
        expr = expr.replace(name, SUBSTITUTES[name])
    return expr


def unregistered(expr, sources):
    """Metrics of a query that no source registers."""
    for metric in METRIC.findall(expr):
        name = metric.removeprefix("vllm:")
        if f'"{name}"' not in sources and f'"{PARTS.sub("", name)}"' not in sources:
            yield metric


def chat(url, text):
    message = {"role": "user", "content": text}
    answer = get(f"{url}/v1/chat/completions", {"model": "SmolLM2-135M-Instruct", "max_tokens": 8, "temperature": 0, "messages": [message]})
    return answer["choices"][0]["message"]["content"]


def ask(url, expr):
    answer = get(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': expr})}")
    if answer["status"] != "success":
        return f"refused: {answer['error']}"
    numbers = [sample for sample in answer["data"]["result"] if sample["value"][1] != "NaN"]
    return "data" if numbers else "empty"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--chart", required=True)
    parser.add_argument("--sources", nargs="+", required=True)
    parser.add_argument("--prometheus", required=True)
    parser.add_argument("--inference", required=True)
    given = parser.parse_args()
    sources = "".join(path.read_text() for folder in given.sources for path in pathlib.Path(folder).rglob("*.rs"))
    asked = [(board, panel, concrete(expr)) for board, panel, expr in queries(given.chart)]
    print(f"{len(asked)} queries; the model says:", chat(given.inference, "What is the capital of France?"))

    waiting, outcome, deadline = asked, {}, time.monotonic() + DEADLINE_SECONDS
    while waiting and time.monotonic() < deadline:
        chat(given.inference, "What is the capital of France?")
        outcome.update({query: ask(given.prometheus, query[2]) for query in waiting})
        waiting = [query for query in waiting if outcome[query] == "empty"]
    failed = 0
    for board, panel, expr in asked:
        result, missing = outcome[board, panel, expr], ", ".join(unregistered(expr, sources))
        is_wrong = result != "data" or missing
        failed += bool(is_wrong)
        print(f"{'FAILED' if is_wrong else 'ok':7}{board:10}{panel:32}{result}{'; nobody registers ' + missing if missing else ''}")
        if is_wrong:
            print(f"       {expr}", file=sys.stderr)
    print(f"dashboards: {len(asked) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
