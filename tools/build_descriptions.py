"""Makes workshop/api/tables/descriptions.json: what a running kube-apiserver says and the installed client does not.

The client tells what most fields mean, with its lines run together; it is silent about kinds, about fields that are
structs, and about the values of enumerations. Struct → {"": what it is, FIELD: text}, where a text is

    "words"                     these
    7                           number 7 of `texts`, which stand more than once
    [4, 9, " More."]            the client's, with ends of lines at these places, and what follows

python tools/build_descriptions.py --kubeconfig admin.conf
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from kubernetes import config

sys.path.insert(0, str(Path(__file__).parent.parent))
from workshop.api.openapi.words import of_client

OUT = Path(__file__).parent.parent / "workshop" / "api" / "tables" / "descriptions.json"
SOURCE = "Facts of kubernetes v1.36.2 (/openapi/v3 of a running kube-apiserver), made by tools/build_descriptions.py"


def compact(text: str, known: str) -> str | list[int | str] | None:
    """How `text` comes from the client's; None when it is the same."""
    if text == known:
        return None
    head, rest = text[: len(known)], text[len(known) :]
    if known and head.replace("\n", " ") == known:
        return [*(i for i, letter in enumerate(head) if letter == "\n"), *([rest] if rest else [])]
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", required=True)
    api = config.new_client_from_config(parser.parse_args().kubeconfig)

    def read(path: str) -> Any:
        accept = {"Accept": "application/json"}
        answer = api.call_api(path, "GET", header_params=accept, _preload_content=False, _request_timeout=30)
        return json.loads(answer.data)

    found: dict[str, dict[str, Any]] = {}
    for about in read("/openapi/v3")["paths"].values():
        for name, schema in (read(about["serverRelativeURL"]).get("components") or {}).get("schemas", {}).items():
            *_, version, struct = name.split(".")
            group = name.split(".")[-3]
            known = of_client(f"{group}.{version}", struct)
            told = {"": schema["description"]} if schema.get("description") else {}
            for field, about_it in schema.get("properties", {}).items():
                new = compact(about_it.get("description", ""), known.get(field, ""))
                told |= {field: new} if new is not None else {}
            found |= {name: told} if told else {}
    counts = Counter(text for told in found.values() for text in told.values() if isinstance(text, str))
    texts = {text: i for i, text in enumerate(text for text, count in counts.items() if count > 1 and len(text) > 8)}
    structs = {
        name: {field: texts.get(text, text) if isinstance(text, str) else text for field, text in told.items()}
        for name, told in sorted(found.items())
    }
    lines = ",\n".join(
        f"{json.dumps(name)}:{json.dumps(told, separators=(',', ':'))}" for name, told in structs.items()
    )
    head = f'"source":{json.dumps(SOURCE)},\n"texts":[\n' + ",\n".join(map(json.dumps, texts)) + "\n]"
    OUT.write_text(f'{{{head},\n"structs":{{\n{lines}\n}}}}\n')


if __name__ == "__main__":
    main()
