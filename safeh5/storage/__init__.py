"""Durable file primitives: the only part of the package that touches the disk."""

from safeh5.storage.copying import CopyMethod
from safeh5.storage.files import Storage, StrPath, disk_of
from safeh5.storage.handles import AppendFile, MappedFile, RandomFile
from safeh5.storage.interrupts import Uninterrupted
from safeh5.storage.lock import TargetLock
from safeh5.storage.names import AsideKind, Names, find_sidecars, segment_name, segment_number
from safeh5.storage.owner import Owner
from safeh5.storage.platform import byte_view
from safeh5.storage.staging import StagingFile

__all__ = [
    "AppendFile",
    "AsideKind",
    "CopyMethod",
    "MappedFile",
    "Names",
    "Owner",
    "RandomFile",
    "StagingFile",
    "Storage",
    "StrPath",
    "TargetLock",
    "Uninterrupted",
    "byte_view",
    "disk_of",
    "find_sidecars",
    "segment_name",
    "segment_number",
]
