# The two commands: `make demo` and `make test`. Each sets up what it needs by itself.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
RUNS ?= runs

.PHONY: demo test check-slow lint clean

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("SynReID needs Python 3.11 or later") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet torch torchvision
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $(READY)

demo: $(READY)
	$(BIN)/synreid study demo --out $(RUNS)/demo

test: lint
	$(BIN)/python -m pytest -m 'not slow'

check-slow: $(READY)
	$(BIN)/python -m pytest -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv $(RUNS)
