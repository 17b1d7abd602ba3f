"""Where pycroscopy had `HDFwriter`."""

from safeh5.pycroscopy.writer import HDFwriter

__all__ = ["HDFwriter"]
