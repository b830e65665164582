"""The board attaches to any cluster by a kubeconfig alone, ours or a real one."""

from __future__ import annotations

import pytest

from workshop.clock import SYSTEM
from workshop.views.board import WHY_NOT_OBSERVED, Board

from .kubectl import Kubectl

WAIT = 60.0


@pytest.mark.any_mode
def test_the_board_of_any_cluster_shows_two_truths_and_says_why_not_three(k: Kubectl, kubeconfig: str) -> None:
    k("create", "deployment", "web", "--image=nginx", "--replicas=2")
    board = Board.attach(kubeconfig)
    try:
        assert board.note.startswith(WHY_NOT_OBSERVED)
        key, end = f"Deployment/{k.namespace}/web", SYSTEM.monotonic() + WAIT
        while key not in board.feed.picture and SYSTEM.monotonic() < end:
            board.feed.wait_for_change(board.feed.sequence, 1.0)
        row = board.feed.picture[key]
        assert (row["desired"], row["observed"]) == (2, None)
        assert row["next"] or row["reported"] == 2
        k("scale", "deployment", "web", "--replicas=3")
        while board.feed.picture[key]["desired"] != 3 and SYSTEM.monotonic() < end:
            board.feed.wait_for_change(board.feed.sequence, 1.0)
        assert board.feed.picture[key]["desired"] == 3
    finally:
        board.close()
