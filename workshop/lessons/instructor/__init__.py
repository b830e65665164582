"""The instructor's board: who is where in a room of 300, and who is stuck on which check for how long.

- `room.py`      PURE: what learners report, kept in bounds; the rows that the board shows
- `server.py`    `workshop instructor`: the page, JSON, and a stream of changes, behind a token
- `reporter.py`  a learner's side, only after `workshop join URL --token TOKEN`: on a thread, never holds up a cell
- `page.html`, `page.js`, `page.css`   the page; no script but its own

A report is the whole of a learner's state in a few hundred bytes, so a server that was started anew is soon complete
again. What a check found is in it, never what a learner wrote.
"""
