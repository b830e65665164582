"""What is generated is in step with what it is generated from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def test_generated_messages_are_what_their_proto_says() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "wire.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
