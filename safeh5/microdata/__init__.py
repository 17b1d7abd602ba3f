"""The MicroData tree and its lowering to operations."""

from safeh5.microdata.lower import WritePlan, plan_write
from safeh5.microdata.namespace import FileNamespace, Namespace
from safeh5.microdata.tree import (
    EmptyMicroDataset,
    ExpandableMicroDataset,
    ExternalLink,
    HardLink,
    MicroData,
    MicroDataGroup,
    MicroDataset,
    MicroDatatype,
    Reference,
    SoftLink,
)

__all__ = [
    "EmptyMicroDataset",
    "ExpandableMicroDataset",
    "ExternalLink",
    "FileNamespace",
    "HardLink",
    "MicroData",
    "MicroDataGroup",
    "MicroDataset",
    "MicroDatatype",
    "Namespace",
    "Reference",
    "SoftLink",
    "WritePlan",
    "plan_write",
]
