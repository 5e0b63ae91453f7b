# make run      the program with the shipped vbms.yaml: simulated batteries, http://127.0.0.1:8080/
# make test     every check and every test, as CI runs them
# make bench    the measured ratios, side by side in one run
# make board    the shared files compiled for a board, with their sizes
# make lint     the checks alone; make format: let ruff put things right
# Everything is installed into .venv and node_modules, again when pyproject.toml or package.json change.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v $$p; break; }; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check -q install
# What hangs fails, and says where; ten thousand examples of a law take minutes.
MOST_S := $(if $(HYPOTHESIS_PROFILE),7200,300)
PYTEST = $(BIN)/python -m pytest -q --timeout $(MOST_S)
# Tests that only reckon share the cores; the others watch the clock, and run one at a time.
RECKONING := $(addprefix tests/,aggregate config parity soak upstream wire)
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: run test bench board lint format tools
.DELETE_ON_ERROR:

run: $(VENV)/.run
	@exec $(BIN)/vbms run

test: tools lint
	@$(BIN)/python firmware_mpy/build.py --brief
	@$(PYTEST) -n 2 --dist loadfile $(RECKONING)
	@exec $(PYTEST) $(addprefix --ignore=,$(RECKONING))

bench: $(VENV)/.test
	@exec $(BIN)/python -m tests.bench

board: $(VENV)/.test
	@$(BIN)/python firmware_mpy/build.py

lint: $(VENV)/.test
	@$(BIN)/ruff check -q .
	@$(BIN)/ruff format -q --check .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/codespell

format: $(VENV)/.test
	@$(BIN)/ruff check -q --fix .
	@$(BIN)/ruff format -q .

# Node.js packages and, as root on Debian, what apt has: cheap when all is there.
tools: $(VENV)/.test
	@sh tests/tools.sh

$(VENV)/.run: pyproject.toml | $(BIN)/python
	@echo "installing vbms into $(VENV)"
	@$(PIP) -e '.[all]'
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	@echo "installing vbms and its test tools into $(VENV)"
	@$(PIP) -e '.[test]'
	@touch $(VENV)/.run $@

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "vbms needs Python 3.11 or newer, and finds none"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || sh tests/tools.sh venv
	@$(PYTHON) -m venv --clear $(VENV)
