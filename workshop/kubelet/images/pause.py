"""pause: holds on until it is told to end."""
# mypy: ignore-errors

import signal
import sys

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
ready()
while True:
    signal.pause()
