"""Start a shim: `python -I -S .../shim -namespace NS -name POD -dir DIR [-unshare net,ipc,uts] [-hostname H]`."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))))

from workshop.kubelet.shim.server import main

if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
