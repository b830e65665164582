"""`python -m tests.robot [LAB…] [--pictures DIR] [--documents DIR]`: the robot learner goes through labs, all by default."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from .desk import ROOT, Desk
from .learner import Learner, labs, title


def browser_path() -> str | None:
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


def no_sandbox() -> list[str]:
    """Chromium's sandbox does not work for root."""
    return ["--no-sandbox"] if os.geteuid() == 0 else []


def down(home: Path) -> None:
    """End whatever clusters the labs left."""
    folder = home / "clusters"
    for name in os.listdir(folder) if folder.is_dir() else ():
        argv = [sys.executable, "-m", "workshop", "down", "--purge", "--name", name]
        environment = {**os.environ, "WORKSHOP_HOME": str(home), "PYTHONPATH": str(ROOT)}
        subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, check=False)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.robot")
    parser.add_argument("labs", nargs="*", help="such as 00-tour")
    parser.add_argument("--pictures", type=Path, default=ROOT / "build" / "robot")
    parser.add_argument("--documents", type=Path, help="where the pictures of the documents go: docs/pictures")
    arguments = parser.parse_args(argv)
    chosen = [lab for lab in labs() if not arguments.labs or lab.stem in arguments.labs]
    failed = 0
    with tempfile.TemporaryDirectory(prefix="ws-") as folder, sync_playwright() as playwright:
        home = Path(folder)
        desk = Desk(home)
        browser = playwright.chromium.launch(executable_path=browser_path(), args=no_sandbox())
        try:
            for lab in chosen:
                page = browser.new_page(viewport={"width": 1440, "height": 900})
                learner = Learner(page, desk, arguments.pictures, arguments.documents)
                begun = time.monotonic()
                try:
                    learner.open_index()
                    learner.shoot("index")
                    learner.open_lab(title(lab), lab.stem)
                    verdicts = learner.work_through(lab)
                except Exception:
                    learner.shoot(f"{lab.stem}-failed")
                    raise
                print(f"{lab.stem}: {verdicts} in {time.monotonic() - begun:.0f} s", flush=True)
                failed += not all(verdicts.values())
                page.close()
        finally:
            browser.close()
            desk.close()
            down(home)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
