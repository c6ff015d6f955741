# Everything is set up in .venv by the first target that needs it; a second call finds it done.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Processes that run tests. Each takes whole files, because the tests of a file share fixtures. Tests of real processes
# wait much of their time, and so more processes run than there are cores. Files start in the order of TESTS, in which
# those of the pure core come last: they leave no long file that runs alone at the end.
BESIDE := --numprocesses 2 --dist loadfile
AMONG := --numprocesses 4 --dist loadfile --no-loadscope-reorder
TESTS := tests/faults tests/integration tests/contract tests/unit
# Hundreds of processes are started: each would compile the program anew.
unexport PYTHONDONTWRITEBYTECODE
# Python compiles what is imported when it first is; all there is at once would take a third of the installation.
INSTALL := $(PIP) install --no-compile --constraint docker/constraints.txt
INPUTS := pyproject.toml docker/constraints.txt
# Whether .venv can be built on: it has a Python that is new enough, with pip, and lies where it was made. A Python that
# is named on the command line has to be its own. Otherwise it is made anew.
NAMED := $(if $(filter-out file,$(origin PYTHON)),$(PYTHON),$(BIN)/python)
VERSION := import sys; print(sys.version_info[:2])
SOUND = $(BIN)/python -c 'import sys, pip; made = open(sys.prefix + "/pyvenv.cfg").read(); \
	sys.exit(sys.version_info < (3, 11) or "command = " in made and f" {sys.prefix}\n" not in made)' 2>/dev/null \
	&& test "$$($(NAMED) -c '$(VERSION)')" = "$$($(BIN)/python -c '$(VERSION)')"
# A package whose installation was killed has no RECORD yet, and pip would take it for installed.
REMOVE_HALVES := for each in $(VENV)/lib/python3*/site-packages/*.dist-info; do \
	test -s "$$each/RECORD" || rm -rf "$$each"; done

# The oldest versions that pyproject.toml allows, in an environment of their own.
LOWEST := .venv-lowest

.PHONY: demo test test-all checks lowest lint types unit processes faults chaos bench bench-scale bench-search dist clean \
	unsound

demo: $(VENV)/.installed          ## a real search, end to end, on this machine
	$(BIN)/orchestrator run studies/digits.toml

test: checks                      ## every check but the longest: 11 minutes on two cores
	$(BIN)/pytest $(AMONG) -m 'not long' $(TESTS)

test-all: checks                  ## besides: a soak, every library, measurements, all of the docs, oldest dependencies
	$(BIN)/pytest $(AMONG) --hypothesis-profile=thorough $(TESTS)
	$(MAKE) lowest

lowest: $(LOWEST)/.installed      ## what has to hold with the oldest versions that pyproject.toml allows
	$(LOWEST)/bin/pytest $(BESIDE) tests/unit tests/contract tests/integration/test_run.py

# Both at once: mypy uses one core.
checks: $(VENV)/.installed-dev
	@$(MAKE) --no-print-directory --jobs=2 lint types

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python -m tests.check_words

types: $(VENV)/.installed-dev
	$(BIN)/mypy

unit: $(VENV)/.installed-dev
	$(BIN)/pytest $(BESIDE) tests/unit tests/contract

processes: $(VENV)/.installed-dev ## real processes on real servers, and everything that may happen to them
	$(BIN)/pytest $(AMONG) tests/faults tests/integration

faults: $(VENV)/.installed-dev    ## what may happen to them alone
	$(BIN)/pytest $(AMONG) tests/faults

bench-search: $(VENV)/.installed-dev ## compares pruning rules on recorded curves, and writes docs/search.md
	$(BIN)/python -m tests.bench.search

chaos: $(VENV)/.installed-dev     ## kills whatever there is, at random, for five minutes, and prints an account
	$(BIN)/python -m tests.chaos

bench: $(VENV)/.installed-dev     ## measures, and writes docs/bench.md
	$(BIN)/python -m tests.bench

bench-scale: $(VENV)/.installed-dev ## loads a control plane with a thousand simulated slots, and writes docs/scale.md
	$(BIN)/python -m tests.bench.scale

dist:                             ## a wheel, in dist/
	@rm -rf build dist
	$(PYTHON) -m pip --disable-pip-version-check --quiet wheel --no-deps --wheel-dir dist .
	@rm -rf build && ls dist/*

ifneq ($(shell $(SOUND) && echo sound),sound)
$(VENV)/.installed: unsound
endif
unsound:

$(VENV)/.installed: $(INPUTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "setting up $(VENV): torch with its CUDA libraries is some 5 GB, this takes a minute or two"
	@$(SOUND) || $(PYTHON) -m venv --clear $(VENV)
	@$(REMOVE_HALVES)
	@$(INSTALL) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@$(REMOVE_HALVES)
	@$(INSTALL) --editable '.[dev]'
	@touch $@

$(LOWEST)/.installed: pyproject.toml docker/constraints-lowest.txt
	@echo "setting up $(LOWEST) with the oldest versions: another 5 GB"
	@$(PYTHON) -m venv --clear $(LOWEST)
	@$(LOWEST)/bin/python -m pip --disable-pip-version-check --quiet install --no-compile \
		--constraint docker/constraints-lowest.txt --editable '.[dashboard,export,report,test]'
	@touch $@

clean:
	rm -rf $(VENV) $(LOWEST) dist .orchestrator .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build *.egg-info
