"""The modes of the harness, each a module with ``run`` and ``replay``; see `harness.registry`."""
