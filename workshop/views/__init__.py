"""The live board: three truths of each workload side by side, who acts next, and how it came to be.

Pure, in this order:

- `graph.py`    what belongs to what: networkx over keys such as `Pod/default/web-0`
- `lanes.py`    where everything stands on the map
- `rows.py`     one object, or one process, as the row that is drawn
- `model.py`    all rows, kept up to date change by change; each change a step
- `causes.py`   from trace lines to swim lanes: write → revision → watch event → controller → next write

With I/O:

- `feed.py`     a thread that follows a cluster through watch streams (of `kinds.py`), the observer and trace lines
- `history.py`  back beyond the moment of attachment, by lists at exact resourceVersions
- `desk.py`     what a front end may ask
- `board.py`    `Board(cluster)`: the text form and the notebook's widget (`widget.py`)
- `web.py`      the same as a web page (`cli.py`: `workshop board`); `blocking.py` for kernels, whose loop runs already
- `front/`      the front end of both: plain ES modules

Beside the board, the glass box: `pipeline.py` (pure) requests on their way through kube-apiserver; `glass.py` follows
them live; `faces.py` one object as kubectl shows it, as JSON on the wire, as bytes in etcd.

For etcd: `ring.py` (pure) a simulated cluster that is played with; `raft.py` the same for notebooks, and real members;
`store.py` a small client; `registry.py` what the API server wrote, and what happened to keys by revision.

What a row says is decided in `workshop.cluster.board`; nothing of that is repeated here.
"""

from .board import Board
from .glass import GlassBox
from .raft import RaftRing

__all__ = ["Board", "GlassBox", "RaftRing"]
