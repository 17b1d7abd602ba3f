"""A run whose every checkpoint can be checked by itself: one number stands in many places.

As a program this is a reader: ``python world.py TARGET KIND`` looks and
checks until the session has ended, then prints what it has seen as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5s

import safeh5
from safeh5.operations.model import (
    AppendData,
    CreateDataset,
    CreateGroup,
    Delete,
    Filter,
    Layout,
    Operation,
    SetAttribute,
    WriteData,
)
from safeh5.operations.values import encode_shape, encode_type, pack
from safeh5.session import Session

ROOT = Path(__file__).parents[2]
KEPT = 20
COUNT, ITEM = 2000, (16, 16)
INT, TEXT = encode_type("<i8"), encode_type(h5py.string_dtype())
SCALAR = h5s.create(h5s.SCALAR).encode()


def packed(*texts: str) -> bytes:
    return pack(np.array(texts, object), TEXT, lambda reference: None)


def begin(session: Session) -> None:
    """What there is before the first step."""
    with session.batch():
        session.record(CreateGroup(path="/g"))
        session.record(CreateDataset(path="/counter", type=INT, space=encode_shape((COUNT,))))
        zipped = Layout(chunks=(100,), filters=(Filter(1, 0, (1,)),))
        session.record(CreateDataset(path="/zipped", type=INT, space=encode_shape((COUNT,)), layout=zipped))
        for name, kind, shape in (("words", TEXT, ()), ("frames", INT, ITEM)):
            space = encode_shape((0, *shape), (None, *shape))
            layout = Layout(chunks=(8, *shape))
            session.record(CreateDataset(path=f"/{name}", type=kind, space=space, layout=layout))


def step(session: Session, n: int) -> None:
    """Batch `n`, from 0."""
    with session.batch():
        for operation, payload in _operations(n):
            session.record(operation, payload)


def _operations(n: int) -> Iterator[tuple[Operation, bytes]]:
    number, many = np.int64(n).tobytes(), np.full(COUNT, n, "<i8").tobytes()
    yield CreateGroup(path=f"/g/{n}"), b""
    yield SetAttribute(path=f"/g/{n}", name="n", type=INT, space=SCALAR), number
    yield (
        SetAttribute(path=f"/g/{n}", name="s", type=TEXT, space=SCALAR, packed=True),
        packed(f"text {n}" * (n % 50)),
    )
    yield CreateDataset(path=f"/g/{n}/d", type=INT, space=encode_shape((COUNT,))), b""
    yield WriteData(path=f"/g/{n}/d", type=INT), many
    yield WriteData(path="/counter", type=INT), many
    yield WriteData(path="/zipped", type=INT), many
    yield AppendData(path="/words", type=TEXT, start=n, count=1, packed=True), packed(f"word {n}")
    frame = np.full(ITEM, n, "<i8").tobytes()
    yield AppendData(path="/frames", type=INT, start=n, count=1), frame
    if n >= KEPT:
        yield Delete(path=f"/g/{n - KEPT}"), b""
    yield SetAttribute(path="/", name="n", type=INT, space=SCALAR), number


def check(file: Any) -> int:
    """Read everything; returns the number of the last batch, -1 for none. Fails unless all agree."""
    if "n" not in file.attrs:
        assert set(file) <= {"g", "counter", "zipped", "words", "frames"}
        return -1
    n = int(file.attrs["n"])
    assert set(file["g"]) == {str(k) for k in range(max(0, n - KEPT + 1), n + 1)}
    for name, group in file["g"].items():
        k = int(name)
        assert group.attrs["n"] == k and group.attrs["s"] == f"text {k}" * (k % 50), name
        assert (group["d"][()] == k).all(), name
    assert (file["counter"][()] == n).all() and (file["zipped"][()] == n).all()
    words = file["words"]
    assert len(words) == len(file["frames"]) == n + 1
    assert [text.decode() for text in words[()]] == [f"word {k}" for k in range(n + 1)]
    assert (file["frames"][()] == np.arange(n + 1).reshape(-1, 1, 1)).all()
    return n


def read(target: str, kind: str) -> dict[str, Any]:
    """Look and check until the session has ended.

    `kind` is ``fresh`` (always the newest), ``patient`` (the first one, for
    ever) or ``blind`` (not known to the writer).
    """
    if kind == "blind":
        from safeh5.storage.registration import Registration

        def refuse(*arguments: object) -> Any:
            raise PermissionError(13, "no")

        Registration.make = refuse  # type: ignore[method-assign]
    checks, expired, seen, why = 0, 0, set[int](), ""
    with safeh5.live(target) as view:
        first = check(view)
        Path(target + f".{os.getpid()}.ready").touch()
        while True:
            ended = view.ended
            try:
                for _ in range(2):
                    n = check(view)
                    checks += 1
                    assert n >= max(seen, default=-1)
                    seen.add(n)
                    assert kind != "patient" or n == first
            except safeh5.errors.LiveViewExpiredError as error:
                expired += 1
                why = str(error)
            if ended:
                break
            if kind != "patient":
                view.refresh()
        view.refresh()
        last = check(view)
    return {"checks": checks, "seen": len(seen), "expired": expired, "why": why, "last": last}


class Readers:
    """Processes that read until the session has ended."""

    def __init__(self, target: Path, *kinds: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.target = target
        self.processes = [
            subprocess.Popen(
                [sys.executable, __file__, str(target), kind], stdout=subprocess.PIPE, env=environment
            )
            for kind in kinds
        ]
        deadline = time.monotonic() + 60
        while len(list(target.parent.glob("*.ready"))) < len(kinds):
            assert time.monotonic() < deadline and all(p.poll() is None for p in self.processes)
            time.sleep(0.01)

    def results(self) -> list[dict[str, Any]]:
        """What each has seen; ``error`` of one that failed."""
        found = []
        for process in self.processes:
            output, _ = process.communicate(timeout=60)
            found.append(json.loads(output) if output else {"error": f"exit code {process.returncode}"})
        return found


if __name__ == "__main__":
    try:
        print(json.dumps(read(*sys.argv[1:])))
    except BaseException:
        print(json.dumps({"error": traceback.format_exc()}))
    sys.stdout.flush()
    os._exit(0)
