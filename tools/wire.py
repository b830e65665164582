"""Generate `workshop/wire/*_pb2.py` from the `.proto` files beside them. `--check` fails if they are out of step.

The header of generated code names the compiler's version; the check compares the descriptors only, so another
release of the compiler is no difference.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path

WIRE = Path(__file__).resolve().parent.parent / "workshop" / "wire"


def generate(target: Path) -> None:
    """Compile every `.proto` of the wire room into `target`."""
    from grpc_tools import protoc

    for proto in sorted(WIRE.glob("*.proto")):
        status = protoc.main(["protoc", f"-I{WIRE}", f"--python_out={target}", str(proto)])
        if status:
            raise SystemExit(f"protoc failed on {proto.name}")


def descriptor(path: Path) -> str:
    """The serialized description of the messages inside a generated module."""
    found = re.search(r"AddSerializedFile\((b.*)\)", path.read_text())
    return found[1] if found else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    if not parser.parse_args().check:
        generate(WIRE)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh = {path.name: descriptor(path) for path in Path(folder).glob("*_pb2.py")}
    stale = [name for name, text in fresh.items() if not text or text != descriptor(WIRE / name)]
    for name in stale:
        sys.stderr.write(f"workshop/wire/{name} is not what its .proto says: run `python tools/wire.py`\n")
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
