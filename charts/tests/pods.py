"""Reads objects as kubectl prints them, JSON after JSON; writes a Pod for each pod template: what PodSecurity judges."""

import json
import sys


def objects(text):
    decoder = json.JSONDecoder()
    while text := text.lstrip():
        value, end = decoder.raw_decode(text)
        yield value
        text = text[end:]


pods = []
for item in objects(sys.stdin.read()):
    template = item.get("spec", {}).get("template")
    if template and "containers" in template.get("spec", {}):
        name = f"{item['kind']}-{item['metadata']['name']}".lower()
        metadata = {"name": name, "namespace": item["metadata"]["namespace"], "labels": template["metadata"]["labels"]}
        spec = template["spec"]
        # As the ServiceAccount admission plugin does, which the test's API server goes without.
        spec.setdefault("serviceAccountName", "default")
        # A StatefulSet's claims become volumes of its pods.
        for claim in item["spec"].get("volumeClaimTemplates", []):
            spec.setdefault("volumes", []).append({"name": claim["metadata"]["name"], "emptyDir": {}})
        pods.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
json.dump({"apiVersion": "v1", "kind": "List", "items": pods}, sys.stdout)
