"""Where pycroscopy had `MicroDataset` and `MicroDataGroup`."""

from safeh5.pycroscopy.tree import (
    EmptyMicroDataset,
    ExpandableMicroDataset,
    MicroData,
    MicroDataGroup,
    MicroDataset,
)

__all__ = ["EmptyMicroDataset", "ExpandableMicroDataset", "MicroData", "MicroDataGroup", "MicroDataset"]
