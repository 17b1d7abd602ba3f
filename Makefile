# A thin face of dev.py, for fingers that type make.
PYTHON ?= python3
COMMANDS := demo test test-slow lint types contracts docs changelog lowest ci setup

.PHONY: help $(COMMANDS) clean
help:
	@$(PYTHON) dev.py --help

$(COMMANDS):
	@$(PYTHON) dev.py $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache docs/_build build dist
