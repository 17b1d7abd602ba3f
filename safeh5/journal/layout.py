"""Fixed binary structures as data, so that code, tests and the format's page read the same table."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple


class Field(NamedTuple):
    """One field of a fixed structure; `code` is that of `struct`."""

    name: str
    code: str
    meaning: str


class Layout(struct.Struct):
    """A fixed structure as data: its fields in order, without gaps, little-endian."""

    def __init__(self, *fields: Field) -> None:
        super().__init__("<" + "".join(field.code for field in fields))
        self.fields: Final = fields

    def rows(self) -> list[tuple[int, int, str, str]]:
        """Each field as ``(offset, size, name, meaning)``, offsets and sizes in bytes."""
        rows, offset = [], 0
        for field in self.fields:
            size = struct.calcsize("<" + field.code)
            rows.append((offset, size, field.name, field.meaning))
            offset += size
        return rows
