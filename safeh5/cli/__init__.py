"""The command line: one module per command, and the only place that knows the terminal."""

from safeh5.cli.app import main

__all__ = ["main"]
