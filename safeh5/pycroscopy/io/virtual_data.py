"""Where pycroscopy had `VirtualDataset` and `VirtualGroup`."""

from safeh5.pycroscopy.tree import VirtualData, VirtualDataset, VirtualGroup

__all__ = ["VirtualData", "VirtualDataset", "VirtualGroup"]
