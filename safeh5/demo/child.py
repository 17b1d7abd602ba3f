"""The process that acquires and is killed: ``python -m safeh5.demo.child``.

It prints the number of each frame once the call that wrote it has returned:
from then on the frame is on the disk, and the parent may hold it to that.
"""

from __future__ import annotations

import argparse
import os
import sys

import numpy as np

import safeh5
from safeh5.demo.source import FrameSource, open_source
from safeh5.demo.steps import FRAMES, GROUP
from safeh5.operations.model import AppendData
from safeh5.operations.values import encode_type


def main() -> None:
    """Acquire from where the last acquisition ended up to the last frame."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("--source")
    parser.add_argument("--frames", type=int)
    parser.add_argument("--hold", action="store_true", help="wait before the commit until the input ends")
    arguments = parser.parse_args()
    source = open_source(arguments.source, arguments.frames)
    with safeh5.open(arguments.target, resume=True) as session:
        acquire(session, source)
        if arguments.hold:
            sys.stdin.read()


def acquire(session: safeh5.Session, source: FrameSource) -> None:
    """Append the frames that are not there yet, one durable record each."""
    path = f"{GROUP}/{FRAMES}"
    if path not in session.file:
        session.write(_empty(source))
    encoded = encode_type(source.dtype)
    for index in range(session.file[path].shape[0], source.count):
        session.record(AppendData(path=path, type=encoded, start=index, count=1), source.frame(index).data)
        sys.stdout.write(f"{index}\n")
        sys.stdout.flush()


def _empty(source: FrameSource) -> safeh5.MicroDataGroup:
    """The measurement before its first frame."""
    frames = safeh5.MicroDataset(
        FRAMES,
        np.empty((0, *source.shape), source.dtype),
        resizable=True,
        maxshape=(None, *source.shape),
        chunking=(1, *source.shape),
        attrs={"source": source.name},
    )
    group = safeh5.MicroDataGroup(GROUP.strip("/"), attrs={"operator": "demo"}, indexed=False)
    group.add_children(frames)
    return group


if __name__ == "__main__":
    try:
        main()
    except Exception as failure:
        if "SAFEH5_DEBUG" in os.environ:
            raise
        raise SystemExit(f"the acquiring process failed: {type(failure).__name__}: {failure}") from None
