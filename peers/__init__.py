"""Is it h5py? Other people's tests and programs, run on `safeh5.File`.

``python -m peers`` runs h5py's own test suite twice, with h5py as it is and
with `safeh5.File` in the place of `h5py.File`, and compares test by test; and
it looks at every file that the tests close: what its journal alone makes, and
what recovery makes of a process killed instead of closing, must be the file
that the test made. See README.md.
"""
