"""A pytest plugin that notes how each test ended: one line of JSON per test."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

FILE = "PEERS_OUTCOMES"
"""Environment variable: the file that the lines go to."""

PARTS = "PEERS_PARTS"
"""Environment variable: which tests are run, as `write_parts` puts it."""

_WORST = ("error", "failed", "skipped", "passed")

_now: dict[str, str] = {}


def name_of(nodeid: str) -> str:
    """A test's name without the place where h5py is installed: ``test_file.py::TestModes::test_mode``."""
    return nodeid.rpartition("tests/")[2]


def current() -> str:
    """The test that is running."""
    return _now.get("test", "outside of all tests")


def write_parts(parts: Iterable[tuple[float, int]]) -> str:
    """Shares of the tests with their seeds, for the environment: a test must be drawn by all of them."""
    return json.dumps([list(part) for part in parts])


def drawn(name: str, share: float, seed: int) -> bool:
    """Whether a test, with all its parameters, is among a share of them."""
    return zlib.crc32(f"{seed} {name.partition('[')[0]}".encode()) < share * 2**32


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not drawn."""
    parts = json.loads(os.environ.get(PARTS, "[]"))
    kept = [item for item in items if all(drawn(name_of(item.nodeid), *part) for part in parts)]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
    items[:] = kept


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[Any]:
    """Know which test is running, and note how it ended."""
    _now.clear()
    _now["test"] = name_of(item.nodeid)
    result = yield
    ended = {key: value for key, value in _now.items() if key != "test"}
    outcome = next((worst for worst in _WORST if worst in ended), "error")
    write_line(os.environ[FILE], test=_now["test"], outcome=outcome, why=ended.get(outcome, ""))
    return result


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep what each phase of the running test said."""
    outcome: str = report.outcome
    if outcome == "failed" and report.when != "call":
        outcome = "error"
    if outcome != "passed" or report.when == "call":
        _now[outcome] = _last_line(report) if outcome != "passed" else ""


def _last_line(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        return f"{os.path.basename(crash.path)}:{crash.lineno}: {crash.message.splitlines()[0][:300]}"
    return str(report.longrepr)[-300:]


def write_line(path: str | Path, **what: Any) -> None:
    """Append one line of JSON, whole even when several processes write."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(what) + "\n")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file; none when there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
