PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo check format lint types test setup clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check "torch>=2.13,<2.14"
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@

demo: setup
	$(BIN)/python -m examples.search

check: format lint types test

format: setup
	$(BIN)/ruff format --check .

lint: setup
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

test: setup
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow"

clean:
	rm -rf $(VENV) build dist *.egg-info
