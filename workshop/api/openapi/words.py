"""What kinds and fields mean: the words that `kubectl explain` shows.

Most are read from the docstrings of the installed `kubernetes` package, when a document is asked for. What that package
leaves out is in `tables/descriptions.json` (made by `tools/build_descriptions.py`, which tells its form).
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from pkgutil import get_data
from typing import Any

DOCSTRING = re.compile(
    r'def (\w+)\(self\):\n        """Gets the [^\n]*\n\n        (?!:)(.*?)  # noqa: E501\n', re.DOTALL
)
NAMES = re.compile(r"attribute_map = \{(.*?)\}", re.DOTALL)


def of(name: str, package: str, struct: str) -> dict[str, str]:
    """JSON name of a field → what it means; "" → what the struct is. `name` is OpenAPI's (`io.k8s.api.core.v1.Pod`)."""
    found = of_client(package, struct)
    for field, told in _table().get(name, {}).items():
        found[field] = told if isinstance(told, str) else _changed(found.get(field, ""), told)
    return found


def of_struct(name: str) -> str:
    """What a struct is; "" where nobody says."""
    text = _table().get(name, {}).get("", "")
    assert isinstance(text, str)
    return text


def _changed(text: str, how: list[Any]) -> str:
    """The client's text with line ends at these places, and what follows it.

    >>> _changed("One. Two.", [4, " Three."])
    'One.\\nTwo. Three.'
    """
    letters = list(text)
    for each in how:
        if isinstance(each, str):
            letters.append(each)
        elif each < len(letters):  # another version of the client may say it in another way
            letters[each] = "\n"
    return "".join(letters)


@cache
def _table() -> dict[str, dict[str, str | list[Any]]]:
    read = json.loads(get_data("workshop.api.tables", "descriptions.json") or b"{}")
    texts: list[str] = read["texts"]
    return {
        name: {field: texts[text] if isinstance(text, int) else text for field, text in told.items()}
        for name, told in read["structs"].items()
    }


@cache
def _models() -> Path | None:
    found = find_spec("kubernetes")
    locations = found.submodule_search_locations if found else None
    return Path(next(iter(locations))) / "client" / "models" if locations else None


def of_client(package: str, struct: str) -> dict[str, str]:
    """JSON name → description, from the source text of the official client; empty where it has no such model."""
    folder = _models()
    root, _, version = package.partition(".")
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", struct).lower()
    for name in (f"{version}_{snake}", f"{root}_{version}_{snake}"):
        path = folder / f"{name}.py" if folder else None
        if path and path.exists():
            return _docstrings(path.read_text())
    return {}


def _docstrings(source: str) -> dict[str, str]:
    found = NAMES.search(source)
    names = dict(re.findall(r"'(\w+)': '([^']+)'", found[1])) if found else {}
    return {
        names[name]: text.replace('\\"', '"').replace("\\\\", "\\").strip()
        for name, text in DOCSTRING.findall(source)
        if name in names
    }
