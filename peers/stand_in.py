"""A pytest plugin: `safeh5.File` in the place of `h5py.File`, before h5py's tests are imported."""

from __future__ import annotations

import h5py
import h5py._hl.files

import safeh5

h5py.File = safeh5.File
h5py._hl.files.File = safeh5.File
