# Every target makes what it needs in ./.venv: a bare checkout, Python >= 3.11, a C compiler and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
SOURCES := pyproject.toml setup.py $(wildcard $(foreach end,pyx pxi h,simcore/*/*.$(end) daemon/*/*.$(end))) \
  simcore/limits.py simcore/chip/constants.py

# Without a GPU, the pinned torch has a CPU build; newer ones may pull gigabytes of GPU packages.
CONSTRAINTS := $(if $(shell command -v nvidia-smi 2>/dev/null),,--constraint constraints/cpu.txt)

# Where containers forbid bytecode, every process of the tests would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint types layers docs bench dist model clean

demo: $(VENV)/.base  ## answer the example questions through a running daemon
	$(BIN)/python examples/demo.py

# Three files at a time on two processors, since daemons and disks are waited for; torch's own threads would only compete.
test: export OMP_NUM_THREADS := 1
test: $(VENV)/.dev  ## run all tests
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.dev  ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# What a wheel holds, as one folder of modules: the checkout itself is no importable package.
.PHONY: modules
modules: $(VENV)/.dev
	rm -rf build/modules
	$(BIN)/python -c 'import setuptools; setuptools.setup()' --quiet build_py --build-lib build/modules

types: modules  ## mypy --strict
	cd build/modules && ../../$(BIN)/python -m mypy --config-file ../../pyproject.toml --cache-dir ../mypy -p spikewatch

layers: modules  ## the import-linter contracts
	cd build/modules && ../../$(BIN)/lint-imports ../../pyproject.toml

docs: $(VENV)/.dev  ## the site of docs/, into build/docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --builder html docs build/docs

bench: $(VENV)/.dev  ## print the tables of benchmarks/
	$(BIN)/python -m benchmarks

dist: $(VENV)/.dev  ## sdist, a wheel built from it, and a question to that wheel in a fresh environment with the base install
	rm -rf dist build/dist
	$(BIN)/python -m build --outdir dist .
	$(PYTHON) -m venv build/dist
	build/dist/bin/python -m pip install --quiet --disable-pip-version-check dist/*.whl
	build/dist/bin/python -I tests/installed.py

clean:
	rm -rf $(VENV) build dist docs/cli *.egg-info simcore/*/*.c simcore/*/*.so daemon/*/*.c daemon/*/*.so spool

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "spikewatch needs Python >= 3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: $(VENV)/bin/python $(SOURCES)
	$(PIP) --editable .
	touch $@

# What .base has built stays; of these 12,000 modules, few are ever imported: those are compiled when they are.
$(VENV)/.dev: $(VENV)/.base constraints/cpu.txt
	$(PIP) --no-compile 'setuptools>=77' 'cython>=3.1' 'spikewatch[dev]' $(CONSTRAINTS)
	touch $@
