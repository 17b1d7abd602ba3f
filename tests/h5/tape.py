"""A recorder without a session: keeps the operations, applies them, and plays them again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import h5py

from safeh5.applier import Applier, AtHand
from safeh5.h5 import journaled_file
from safeh5.operations import codec
from safeh5.operations.model import Operation
from safeh5.testing.compare import differences

Scenario = Callable[[h5py.File], None]


class Tape:
    """Records what is done to one HDF5 file.

    Parameters
    ----------
    path : Path
        Where the file is.
    mode : str
        How h5py opens it.
    """

    target = "/data/run.h5"
    commits = True

    def __init__(self, path: Path, mode: str = "w", **options: object) -> None:
        self._file = h5py.File(path, mode, **options)
        self.applier = Applier(self._file.id)
        self.records: list[tuple[bytes, bytes]] = []
        self.flushes = 0
        self.ended = False
        self.error: BaseException | None = None

    @property
    def file_id(self) -> h5py.h5f.FileID:
        return self._file.id

    @property
    def operations(self) -> list[Operation]:
        return [codec.decode(meta) for meta, _ in self.records]

    @property
    def kinds(self) -> list[str]:
        return [type(operation).__name__ for operation in self.operations]

    @property
    def epoch(self) -> int:
        return len(self.records)

    @property
    def position(self) -> int:
        return len(self.records)

    def record(self, operation: Operation, payload: object = b"", at: AtHand | None = None) -> int:
        # As the journal would keep them: an operation that cannot be encoded fails here.
        meta, raw = codec.encode(operation), bytes(memoryview(payload))  # type: ignore[arg-type]
        self.applier.apply(codec.decode(meta), raw, at=at)
        self.records.append((meta, raw))
        return len(self.records)

    def flush(self) -> None:
        self.flushes += 1

    def close(self) -> None:
        self.applier.release()
        self._file.id._close_open_objects(h5py.h5f.OBJ_ALL)
        self._file.close()
        self.ended = True

    def abandon(self, error: BaseException) -> None:
        self.error = error
        self.close()

    def play(self, path: Path, **options: object) -> None:
        """Apply the operations to a new file."""
        with h5py.File(path, "w", **options) as file:
            applier = Applier(file.id)
            for meta, raw in self.records:
                applier.apply(codec.decode(meta), raw)
            applier.release()


def three_ways(scenario: Scenario, directory: Path, **options: object) -> Tape:
    """Do the same by plain h5py, journaled, and from the journal alone; all three must be equal."""
    plain, live, played = (directory / f"{name}.h5" for name in ("plain", "live", "played"))
    with h5py.File(plain, "w", **options) as file:
        scenario(file)
    tape = Tape(live, **options)
    with journaled_file(tape) as file:
        scenario(file)
    tape.play(played, **options)
    for made in (live, played):
        found = "\n".join(map(str, differences(plain, made)))
        assert not found, f"{made.name} differs from what plain h5py made:\n{found}"
        assert charsets(made) == charsets(plain), f"names in {made.name} are marked otherwise"
    return tape


def charsets(path: Path) -> dict[str, int]:
    """How the name of each link is marked: as ASCII or as UTF-8."""
    with h5py.File(path) as file:
        return dict(_charsets(file, "", set()))


def _charsets(group: h5py.Group, above: str, seen: set[int]) -> Iterator[tuple[str, int]]:
    for raw in group.id:
        path, info = f"{above}/{raw.decode()}", group.id.links.get_info(raw)
        yield path, info.cset
        below = group[raw] if info.type == h5py.h5l.TYPE_HARD else None
        if isinstance(below, h5py.Group) and (address := h5py.h5o.get_info(below.id).addr) not in seen:
            seen.add(address)
            yield from _charsets(below, path, seen)
