"""The live board: three truths of each workload side by side, and who acts next. Read in this order:

- `picture.py`  PURE: what is on show as a dict of rows, and the delta between two of them
- `feed.py`     a thread that follows a cluster through informers and `/proc`, and publishes batches
- `board.py`    `Board(cluster)`: the text form, the notebook's widget
- `board.js`    the front end: a plain ES module that draws rows and applies batches

What a row says is decided in `workshop.cluster.board`; nothing of that is repeated here.
"""

from .board import Board

__all__ = ["Board"]
