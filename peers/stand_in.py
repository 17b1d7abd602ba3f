"""A pytest plugin: `safeh5.File` in the place of `h5py.File`, before h5py's tests are imported.

Every file that a test closes is looked at (`replayed`), if there is a file for
the findings.
"""

from __future__ import annotations

import os

import h5py
import h5py._hl.files

import safeh5
from peers import replayed

h5py.File = safeh5.File
h5py._hl.files.File = safeh5.File

if os.environ.get(replayed.FILE):
    replayed.watch()
