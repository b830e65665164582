"""memory-eater: takes 10 MiB (first argument) ten times a second until its limit ends it."""
# mypy: ignore-errors

import sys
import time

step = int(float(sys.argv[1])) if len(sys.argv) > 1 and sys.argv[1].replace(".", "").isdigit() else 10
held = []
while True:
    held.append(b"x" * (step << 20))
    print(f"memory-eater: {len(held) * step} MiB", flush=True)
    time.sleep(0.1)
    if len(held) * step >= 4096:
        print("memory-eater: 4 GiB and nobody stopped me", flush=True)
        time.sleep(1e9)
