"""crasher: says a few words, and fails after some seconds (first argument, 3)."""
# mypy: ignore-errors

import sys
import time

seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
print("crasher: starting", flush=True)
print(f"crasher: about to fail in {seconds:g} seconds", file=sys.stderr, flush=True)
time.sleep(seconds)
print("crasher: fatal: cannot go on", file=sys.stderr, flush=True)
sys.exit(1)
