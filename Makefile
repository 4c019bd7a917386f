# Two commands on a machine with python3, python3-venv, make and git: `make demo` and `make test`.
# Each does all the set-up; the stamp makes the next one start at once.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt
STAMP  := $(VENV)/.set-up
DEMO   ?= demo

# One thread a process: the tests run one process a core, and small networks gain nothing from more.
export OMP_NUM_THREADS ?= 1

.PHONY: help setup demo test check format benchmarks-doc clean

help:
	@echo "make demo    simulate a corridor, enrol and recognise walkers, write $(DEMO)/report.html"
	@echo "make test    all tests, with coverage"
	@echo "make check   lint, formatting, types, import layers, cards and configs"
	@echo "make format  rewrite the sources in the project's format"
	@echo "make benchmarks-doc  write docs/benchmarks.md from benchmarks/results"
	@echo "make clean   remove the environment and everything that was built"

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt Makefile
	@echo "Setting up $(VENV) (once, about two minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# torch first and alone: whatever asks for it later finds it there
	@$(PIP) torch==2.13.0
	@$(PIP) -e '.[all,dev]'
	@# mediapipe asks for jax and for a second OpenCV build, and needs neither
	@$(PIP) --no-deps mediapipe==0.10.14
	@# ouster-sdk pins a click that typer refuses, and needs none here
	@$(PIP) --no-deps ouster-sdk==1.0.1
	@touch $@

demo: $(STAMP)
	$(BIN)/gait3d demo --out $(DEMO)

test: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist loadfile --cov --cov-report term $(PYTEST_FLAGS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_cards.py
	$(BIN)/python tools/check_configs.py

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmarks-doc: $(STAMP)
	$(BIN)/python benchmarks/write_docs.py

clean:
	rm -rf $(VENV) build dist $(DEMO) .coverage .coverage.* htmlcov
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
