"""A robot learner at `make lab`: opens the index, a lab, gets a check wrong, reads a hint, does it right, sees the board.

Needs Chromium. Pictures are left in `build/robot`.
"""

import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.robot import choice
from tests.robot.__main__ import browser_path, down, no_sandbox
from tests.robot.desk import ROOT, Desk
from tests.robot.learner import Learner, labs, title
from tests.views.browser import serious

PICTURES = ROOT / "build" / "robot"
STEMS = [lab.stem for lab in labs()]
CHOSEN = choice.touched(STEMS, choice.changed())


def test_a_change_chooses_its_labs_and_two_others():
    many = [f"{number:02}-lab" for number in range(8)]
    chosen = choice.touched(many, ["labs/05-lab.md", "README.md"])
    assert "05-lab" in chosen and len(chosen) == 3
    assert choice.touched(["00-tour", "01-control-loop", "02-x", "03-y"], ["workshop/lessons/control_loop.py"])[1] == (
        "01-control-loop"
    )
    assert len(choice.touched(STEMS, [])) == min(2, len(STEMS))
    assert len(choice.touched(many, [])) == 2


@pytest.fixture(scope="module")
def desk():
    if browser_path() is None:
        pytest.skip("no Chromium")
    with tempfile.TemporaryDirectory(prefix="ws-") as folder:
        made = Desk(Path(folder))
        try:
            yield made
        finally:
            made.close()
            down(Path(folder))


@pytest.fixture
def page(desk):
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=browser_path(), args=no_sandbox())
        try:
            yield browser.new_page(viewport={"width": 1440, "height": 900})
        finally:
            browser.close()


@pytest.mark.cluster
def test_only_this_machine_and_only_with_the_token(desk):
    assert desk.listening() <= {"127.0.0.1", "::1"}
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{desk.url}/api/contents", timeout=60)
    assert refused.value.code == 403
    refused.value.close()


@pytest.mark.cluster
@pytest.mark.parametrize("stem", CHOSEN)
def test_a_learner_goes_through(desk, page, stem):
    lab = next(lab for lab in labs() if lab.stem == stem)
    learner = Learner(page, desk, PICTURES)
    try:
        learner.open_index()
        learner.run_index()
        assert serious(page, ".jp-RenderedHTMLCommon") == []
        learner.shoot("index")
        learner.open_lab(title(lab), stem)
        verdicts = learner.work_through(lab)
        assert verdicts and all(verdicts.values()), verdicts
        learner.restart_kernel()
        assert "this kernel is new" in learner.type_and_run("lab.check()")
        learner.shoot(f"{stem}-end")
        learner.index_shows(f"{len(verdicts)} of {len(verdicts)}")
        learner.shoot("index-after")
    except BaseException:
        learner.shoot(f"{stem}-failed")
        raise
