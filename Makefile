# One command each. Every target sets up .venv by itself, and again when pyproject.toml changed.
#
#   make demo     trains and samples a small GPT whose script was written for an NVIDIA GPU
#   make test     every test that needs no GPU
#   make check    format, lint, types
#
# The base Python is python3 (PYTHON=python3.12 to choose another). TORCH_INDEX may name an extra package
# index for torch, for example https://download.pytorch.org/whl/cpu for the small wheel without CUDA.

PYTHON ?= python3
TORCH_VERSION ?= 2.13.0
TORCH_INDEX ?=
PYTEST_ARGS ?=
BENCH_ARGS ?=
FUZZ_ARGS ?=
# Tests run in this many processes; a test that fails only beside another is a bug, too.
TEST_PROCESSES ?= 2

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -q
NATIVE := $(wildcard setup.py src/canopy/runtime/native/*.[ch] src/canopy/runtime/native/cuda/*.[ch])

.PHONY: setup demo test test-triton test-cuda test-ascend stress fuzz fuzz-selftest check format bench docs clean help
.DEFAULT_GOAL := help

help:
	@sed -n '2,9s/^# \{0,1\}//p' Makefile

setup: $(VENV)/.ready

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	    { echo "canopy needs Python 3.10 or newer: make PYTHON=python3.12 ..." >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV)

# torch goes first and by its exact version, so that no dependency pulls in another build of it.
$(VENV)/.torch: | $(BIN)/python
	@echo "setup: torch $(TORCH_VERSION)"
	@$(PIP) install $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) "torch==$(TORCH_VERSION)" 2>$(VENV)/pip.log || \
	    { echo "setup: no torch $(TORCH_VERSION) here, taking the newest 2.x" >&2; \
	      $(PIP) install $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) "torch>=2.13,<3"; }
	@touch $@

$(VENV)/.ready: pyproject.toml $(NATIVE) $(VENV)/.torch
	@echo "setup: canopy with triton, cuda and dev extras (a few minutes the first time)"
	@$(PIP) install -e '.[triton,cuda,dev]' 2>$(VENV)/pip.log || { cat $(VENV)/pip.log >&2; exit 1; }
	@$(BIN)/python -c 'from canopy.runtime.build import build_archive; build_archive()'
	@touch $@

$(VENV)/.docs: $(VENV)/.ready
	@echo "setup: documentation tools"
	@$(PIP) install -e '.[docs]' 2>$(VENV)/pip.log || { cat $(VENV)/pip.log >&2; exit 1; }
	@touch $@

demo: setup
	$(BIN)/canopy run examples/char_gpt/train.py $(DEMO_ARGS)
	$(BIN)/canopy run --quiet tools/demo_on_ascend.py

test: setup
	$(BIN)/python -m pytest -q -m "not slow" -n $(TEST_PROCESSES) --dist worksteal $(PYTEST_ARGS)

test-triton: setup
	CANOPY_TEST_ALL_CONFIGS=1 CANOPY_TEST_PACKAGES=1 $(BIN)/python -m pytest -q tests/triton tests/frontends/triton $(PYTEST_ARGS)

test-cuda: setup
	CANOPY_TEST_ALL_CONFIGS=1 $(BIN)/python -m pytest -q -n $(TEST_PROCESSES) --dist worksteal tests/frontends/cuda $(PYTEST_ARGS)

test-ascend: setup
	CANOPY_TEST_ASCEND=1 $(BIN)/python -m pytest -q tests/targets/ascend $(PYTEST_ARGS)

# The long form of tests/stress: hours of kills, damaged entries and launches; STRESS=n sets how long.
stress: setup
	CANOPY_STRESS=$(or $(STRESS),20) $(BIN)/python -m pytest -q tests/stress $(PYTEST_ARGS)

fuzz: setup
	$(BIN)/python -m tests.fuzz.run $(FUZZ_ARGS)

fuzz-selftest: setup
	$(BIN)/python -m tests.fuzz.selftest $(FUZZ_ARGS)

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup
	$(BIN)/python benchmarks/run.py $(BENCH_ARGS)

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir site

clean:
	rm -rf $(VENV) build dist site bench-out .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +
	find src -maxdepth 1 -name '*.egg-info' -prune -exec rm -rf {} +
	find src/canopy \( -name '*.so' -o -name '*.a' -o -name '*.o' \) -delete
