"""What a verification found, as data."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any

import msgspec

from safeh5.options import VerifyLevel


class ProblemKind(StrEnum):
    """What could not be trusted."""

    ACCESS = "access"
    """There is no file to be read: a directory, no permission, a link to nothing."""
    OPEN = "open"
    """The file does not open as HDF5 at all."""
    GROUP = "group"
    """The links of a group cannot be listed."""
    LINK = "link"
    """A link leads nowhere (a warning when it is soft or external)."""
    OBJECT = "object"
    """An object's header cannot be read."""
    ATTRIBUTE = "attribute"
    DATA = "data"
    """Elements of a dataset cannot be read, or fail their checksum."""
    FILTER = "filter"
    """A filter of a dataset's pipeline is not available here."""
    REFERENCE = "reference"
    """An object or region reference leads nowhere."""
    TYPE = "type"
    """A datatype that h5py cannot read; a warning, nothing is known to be wrong."""
    SOURCE = "source"
    """A file that a virtual dataset is made of is missing; a warning."""
    CRASH = "crash"
    """libhdf5 crashed while reading."""
    STALL = "stall"
    """libhdf5 made no progress for too long while reading."""


class Problem(msgspec.Struct, frozen=True):
    """One finding.

    Attributes
    ----------
    path : str
        HDF5 path of the object; ``/`` for the file itself.
    what : ProblemKind
        What is wrong with it.
    detail : str
        The same in words, with the place inside the object where there is one.
    """

    path: str
    what: ProblemKind
    detail: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}: {self.detail}"


class MissingFilter(msgspec.Struct, frozen=True):
    """A filter that datasets were written with and that is not available here.

    Attributes
    ----------
    id : int
        HDF5's registered number of the filter.
    name : str
        Its name, as the file gives it.
    datasets : tuple of str
        The datasets that use it.
    """

    id: int
    name: str
    datasets: tuple[str, ...]


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """The result of `verify`.

    Attributes
    ----------
    path : str
        The file.
    level : VerifyLevel
        How much of it was read.
    ok : bool
        Whether everything that was asked for was read without a problem.
    objects, datasets, attributes : int
        How many were visited; `objects` counts groups, datasets and committed types.
    bytes : int
        Bytes of elements read, after the filters.
    problems : tuple of Problem
        What is wrong, at most `MOST_FINDINGS` of them.
    warnings : tuple of Problem
        What is legal but may surprise: links to nothing, types that h5py cannot read.
    omitted : int
        Findings beyond that number, counted only.
    missing_filters : tuple of MissingFilter
        Filters that are not available here.
    """

    path: str
    level: VerifyLevel
    ok: bool
    objects: int = 0
    datasets: int = 0
    attributes: int = 0
    bytes: int = 0
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    omitted: int = 0
    missing_filters: tuple[MissingFilter, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The report in plain types, as `to_json` writes it."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built

    def to_json(self) -> str:
        """The report as one JSON object."""
        # Not msgspec's encoder: it refuses file names that are no UTF-8.
        return json.dumps(self.to_dict())


MOST_FINDINGS = 1000
