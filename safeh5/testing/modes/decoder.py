"""Bytes that nobody wrote, guided by coverage: frames, records, checkpoints, the recovery classifier.

Whatever the bytes, a decoder gives a value or one of our errors, soon, without
much memory. atheris instruments the package and keeps the inputs that reach new
code; it comes with the extra ``fuzz``. The bytes of small real journals are
where it begins.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safeh5.errors import SafeH5Error
from safeh5.journal import scan
from safeh5.journal.format import FormatError, SegmentHeader
from safeh5.journal.reader import records
from safeh5.journal.walk import BadPlace, survey
from safeh5.operations import codec
from safeh5.storage import Storage
from safeh5.storage.children import environment
from safeh5.storage.redo import Redo
from safeh5.testing.harness.places import quick_directory, working_directory
from safeh5.testing.harness.report import Report
from safeh5.testing.harness.settings import Settings, UnavailableError
from safeh5.testing.harness.shrinking import Patience, fewest, headline
from safeh5.testing.world import dead_session

LIMIT_SECONDS = 10
LIMIT_MIB = 2048
_USUAL = 60.0


def run(report: Report, settings: Settings) -> None:
    """Each decoder in a process of its own, for its part of the time."""
    if importlib.util.find_spec("atheris") is None:
        raise UnavailableError(
            "the mode decoder needs atheris, which is not installed; run: pip install 'safeh5[fuzz]'"
            " (the mode damage tries damaged journals without it)"
        )
    with working_directory() as directory:
        _make_seeds(directory / "seeds")
        left = settings.left if settings.left is not None else _USUAL
        for number, name in enumerate(DECODERS):
            share = max(1, round(left / len(DECODERS)))
            cases = None if settings.cases is None else max(1, settings.cases // len(DECODERS))
            _run_one(report, name, directory, settings.seed + number, share, cases)
            if settings.first and report.failures:
                return


def _run_one(report: Report, name: str, directory: Path, seed: int, seconds: int, cases: int | None) -> None:
    found = directory / f"found-{name}"
    found.mkdir()
    (directory / f"corpus-{name}").mkdir()
    command = [
        sys.executable, "-P", str(Path(__file__).with_name("decoder_child.py")), name,
        str(directory / f"corpus-{name}"), str(directory / "seeds" / name),
        f"-seed={seed % (1 << 31) or 1}", f"-max_total_time={seconds}", f"-artifact_prefix={found}/",
        f"-timeout={LIMIT_SECONDS}", f"-rss_limit_mb={LIMIT_MIB}", "-print_final_stats=1", "-max_len=4096",
    ]  # fmt: skip
    command += [] if cases is None else [f"-runs={cases}"]
    done = subprocess.run(command, cwd=directory, env=environment(), capture_output=True, text=True)
    executed = _stated(done.stderr, "stat::number_of_executed_units")
    if executed is None:
        raise UnavailableError(f"atheris could not begin:\n{(done.stderr or done.stdout)[-2000:]}")
    report.cases += executed
    report.count(f"{name}: inputs", executed)
    report.count(f"{name}: inputs that reached new code", len(list((directory / f"corpus-{name}").iterdir())))
    for path in sorted(found.iterdir()):
        words, data = f"{name}: {path.name.partition('-')[0]}\n{done.stderr[-3000:]}", path.read_bytes()
        if report.settings.shrink:
            data = smallest(DECODERS[name], data)
        report.fail(words, {"decoder": name, "data": base64.b64encode(data).decode()})


def smallest(decode: Callable[[bytes], None], data: bytes) -> bytes:
    """As few of these bytes as it takes for the same exception; all of them where it is none."""
    way = _problem(decode, data)
    if way is None:
        return data
    return bytes(fewest(data, lambda less: _problem(decode, bytes(less)) == way, Patience()))


def _problem(decode: Callable[[bytes], None], data: bytes) -> str | None:
    try:
        decode(data)
    except Exception as error:
        return headline(f"{type(error).__name__}: {error}")
    return None


def _stated(text: str, name: str) -> int | None:
    for line in text.splitlines():
        if line.startswith(name):
            return int(line.rpartition(" ")[2])
    return None


def _make_seeds(directory: Path) -> None:
    """Small real journals, and a frame's parts of each."""
    target = dead_session(directory.parent / "made", 0, 1, old=True, segment_bytes=900, checkpoint_bytes=30)
    sidecar = target.with_name(target.name + ".safeh5")
    seeds: dict[str, list[bytes]] = {name: [] for name in DECODERS}
    for path in sorted(sidecar.glob("journal-*.log")):
        data = path.read_bytes()
        for name in ("segment", "journal", "header"):
            seeds[name].append(data)
    seeds["redo"] = [path.read_bytes()[:4096] for path in sidecar.glob("staging.redo-*")]
    seeds["operation"] = [frame.meta for frame in records(Storage(), scan(Storage(), sidecar))]
    for name, contents in seeds.items():
        (directory / name).mkdir(parents=True)
        for number, data in enumerate(contents):
            (directory / name / str(number)).write_bytes(data)


def replay(case: dict[str, Any], directory: Path) -> None:
    """Decode those bytes again."""
    DECODERS[case["decoder"]](base64.b64decode(case["data"]))


# --- what is decoded ----------------------------------------------------------------------


def decode_segment(data: bytes) -> None:
    """The frames of a segment, past bad places; the salt is that of its header, if it has one."""
    try:
        header = SegmentHeader.unpack(data)
    except FormatError:
        salt, lsn = 0, 1
    else:
        salt, lsn = header.salt, header.first_lsn
    view, end = memoryview(data), 0
    for item in survey(view, salt, lsn):
        if not isinstance(item, BadPlace):
            assert end <= item.offset < item.end <= len(data), "a frame beyond the segment"
            assert item.payload_at + item.payload_length <= item.end
            end = item.end


def decode_header(data: bytes) -> None:
    """A segment header: a value that packs to the same bytes, or a `FormatError`."""
    try:
        header = SegmentHeader.unpack(data)
    except FormatError:
        return
    assert data.startswith(header.pack()), "what was read is not what would be written"


def decode_operation(data: bytes) -> None:
    """The description of an operation."""
    try:
        operation = codec.decode(data)
    except SafeH5Error:
        return
    assert codec.decode(codec.encode(operation)) == operation


def decode_redo(data: bytes) -> None:
    """A redo slot: a checkpoint, or None."""
    redo = Redo.unpack(data)
    assert redo is None or b"".join(map(bytes, redo.pack())) == data[: len(b"".join(map(bytes, redo.pack())))]


def decode_journal(data: bytes) -> None:
    """A sidecar of one segment: what the recovery classifier says of it."""
    import safeh5

    with tempfile.TemporaryDirectory(dir=quick_directory()) as path:
        sidecar = Path(os.path.realpath(path), "run.h5.safeh5")
        sidecar.mkdir()
        (sidecar / "journal-00000001.log").write_bytes(data)
        try:
            report = safeh5.status(sidecar.parent / "run.h5")
            assert report.detail
            json.dumps(report.to_dict())
            safeh5.recover(sidecar.parent / "run.h5", dry_run=True)
        except SafeH5Error as error:
            assert path in str(error)


DECODERS: dict[str, Callable[[bytes], None]] = {
    "segment": decode_segment,
    "header": decode_header,
    "operation": decode_operation,
    "redo": decode_redo,
    "journal": decode_journal,
}
