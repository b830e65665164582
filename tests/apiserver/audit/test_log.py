"""The file of records: its rights, its rotation."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from tests.virtual_clock import VirtualClock
from workshop.apiserver.audit.log import Log

EVENT: dict[str, Any] = {
    "auditID": "7", "stage": "ResponseComplete", "verb": "get", "requestURI": "/api/v1/pods",
    "user": {"username": "jane", "groups": ["a", "b"]}, "requestReceivedTimestamp": "2026-11-28T18:00:00.000000Z",
    "stageTimestamp": "2026-11-28T18:00:00.000100Z", "responseStatus": {"metadata": {}, "code": 200},
}  # fmt: skip


def test_a_line_a_record_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "audit" / "audit.log"
    log = Log(str(path), VirtualClock())
    log.write(EVENT)
    log.write(EVENT)
    log.close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [EVENT, EVENT]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_full_file_becomes_a_backup_and_old_backups_go(tmp_path: Path) -> None:
    clock = VirtualClock()
    log = Log(str(tmp_path / "audit.log"), clock, max_size=1, max_backups=2)
    big = {**EVENT, "requestURI": "x" * 700_000}
    for _ in range(5):
        log.write(big)
        await clock.advance(1.0)
    log.close()
    backups = sorted(path.name for path in tmp_path.glob("audit-*.log"))
    assert len(backups) == 2
    assert json.loads((tmp_path / "audit.log").read_text())["requestURI"] == big["requestURI"]


async def test_old_files_are_packed(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "audit.log"), VirtualClock(), max_size=1, compress=True)
    big = {**EVENT, "requestURI": "x" * 700_000}
    await log.write_all([big, EVENT, big])
    log.close()
    [packed] = tmp_path.glob("audit-*")
    assert packed.suffix == ".gz" and packed.stat().st_mode & 0o777 == 0o600
    assert [json.loads(line) for line in gzip.decompress(packed.read_bytes()).splitlines()] == [big, EVENT]


def test_legacy_text(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "audit.log"), VirtualClock(), format="legacy")
    log.write(EVENT)
    log.close()
    assert (tmp_path / "audit.log").read_text() == (
        '2026-11-28T18:00:00.000000Z AUDIT: id="7" stage="ResponseComplete" ip="<unknown>" method="get" user="jane" '
        'groups="\\"a\\",\\"b\\"" as="<self>" asgroups="<lookup>" user-agent="" namespace="<none>" '
        'uri="/api/v1/pods" response="200"\n'
    )
