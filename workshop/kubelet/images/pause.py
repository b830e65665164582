"""pause: holds on until it is told to end. Where a pod's containers share their processes, it is the first of them."""
# mypy: ignore-errors

import signal
import sys

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who has lost his parent is ours, and leaves no zombie
ready()
while True:
    signal.pause()
