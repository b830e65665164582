"""Makes the virtual environment that `make` uses. Standard library only: it runs before anything is installed.

    python3 tools/environment.py VENV

Says in one sentence what to install when this Python is too old, or has no venv or ensurepip (Debian splits them off).
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

NEEDED = (3, 11)
ROOT = Path(__file__).resolve().parent.parent


def missing() -> str | None:
    """What keeps this Python from making an environment, with what to do; None when nothing does."""
    have = ".".join(map(str, sys.version_info[:2]))
    if sys.version_info < NEEDED:
        return f"Python 3.11 or newer is needed, this is {have}: install it and run `make PYTHON=python3.11`"
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            package = f"`sudo apt install python{have}-venv` on Debian and Ubuntu"
            return f"this Python has no {module}: {package}, then run make again"
    return None


def main(argv: list[str]) -> int:
    problem = missing()
    if problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    venv = Path(argv[0])
    python = venv / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    print(f"installing what the workshop needs into {venv} (once; a minute or two) …", flush=True)
    for step in (["-r", str(ROOT / "requirements.lock")], ["--no-deps", "-e", str(ROOT)]):
        if subprocess.run([*pip, *step], check=False).returncode:
            sys.stderr.write("installing failed, see above; a network or a local package index is needed once\n")
            return 1
    # pip compiles what it copies, not what it links to; without this, PYTHONDONTWRITEBYTECODE would have every
    # process compile three hundred files
    subprocess.run([str(python), "-m", "compileall", "-q", str(ROOT / "workshop")], check=False)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
