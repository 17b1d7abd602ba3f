"""Operations to bytes and back: the meta part of a journal frame.

MessagePack maps with field names, so that a journal can be read by eye and a
field with a default can be added without a new format version.
"""

from __future__ import annotations

import msgspec

from safeh5.errors import JournalError
from safeh5.operations.model import AnyOperation, Operation

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(AnyOperation)


def encode(operation: Operation) -> bytes:
    """The MessagePack form of `operation`."""
    return _encoder.encode(operation)


def decode(meta: bytes | memoryview) -> AnyOperation:
    """The operation in `meta`.

    Raises
    ------
    JournalError
        If `meta` is not an operation that this version knows.
    """
    try:
        operation: AnyOperation = _decoder.decode(meta)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise JournalError(f"a record holds no operation that this safeh5 knows: {error}") from error
    return operation
