"""The harness: one command for every way in which safeh5 is tried to be broken.

============  ==========================================================
`command`     the command line: ``python -m safeh5.testing MODE``
`registry`    which modes there are; a mode is a module
`settings`    what a run is told: how long, which seed, whose workload
`report`      what a run found: counts and failures, as text and JSON
`corpus`      failures kept as files that can be replayed
`places`      where cases run
`watched`     processes that may hang or die
`threads`     threads that signals end in good order
============  ==========================================================
"""
