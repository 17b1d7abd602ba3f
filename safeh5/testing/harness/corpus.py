"""Failures that were found, kept as small files that the test suite replays.

A kept case is a JSON file, or a zip of one with the directory it is about:
journals hold ids and times, so what was damaged cannot be made a second time.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

_CASE = "case.json"
_OWNER = "owner.json"


def keep(corpus: Path, case: dict[str, Any], directory: Path | None = None) -> Path:
    """Write a case to the corpus; returns its file, named by mode and content."""
    if "text" in case:
        case = {**case, "text": _without_paths(str(case["text"]))}
    text = json.dumps(case, indent=1, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    corpus.mkdir(parents=True, exist_ok=True)
    if directory is None:
        path = corpus / f"{case['mode']}-{digest}.json"
        path.write_text(text + "\n")
        return path
    path = corpus / f"{case['mode']}-{digest}.zip"
    files = sorted(p for p in directory.rglob("*") if p.is_file() and p.suffix != ".lock")
    names = {str(p.relative_to(directory)): p for p in files}
    # A session knows its target by the time of modification too.
    times = {name: p.stat().st_mtime_ns for name, p in names.items()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_CASE, json.dumps({**case, "times": times}, indent=1, sort_keys=True))
        for name, p in names.items():
            archive.writestr(f"files/{name}", _without_executable(p) if p.name == _OWNER else p.read_bytes())
    return path


def _without_paths(text: str) -> str:
    """A traceback without the places where this machine keeps its packages."""
    for place in sorted(filter(None, sys.path), key=len, reverse=True):
        text = text.replace(place + os.sep, "")
    return text


def _without_executable(page: Path) -> bytes:
    """The page that tells people who wrote, without the place of this machine's Python."""
    return page.read_bytes().replace(os.fsencode(sys.executable), os.fsencode(Path(sys.executable).name))


def load(path: Path, directory: Path) -> dict[str, Any]:
    """A kept case; its files, if it has any, are put into `directory`."""
    if path.suffix != ".zip":
        case: dict[str, Any] = json.loads(path.read_text())
        return case
    with zipfile.ZipFile(path) as archive:
        case = json.loads(archive.read(_CASE))
        for name, time in case.pop("times").items():
            file = directory / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(archive.read(f"files/{name}"))
            os.utime(file, ns=(time, time))
    return case


def kept(corpus: Path) -> list[Path]:
    """Every case of the corpus."""
    return sorted([*corpus.glob("*.json"), *corpus.glob("*.zip")])
