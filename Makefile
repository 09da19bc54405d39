# make demo | test | install do all of their own set-up in .venv; nothing but Python >= 3.11 and make is needed.
PYTHON ?= python3
BIN := .venv/bin
SOURCES := src tests benchmarks examples
# Tests run in two processes, a file in one of them, as its tests share trainings; more threads would only get in each other's way.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

.PHONY: install demo test coverage test-slow test-lowest constraints lint format clean

install: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt tests/loops/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	sed -n '/^uv==/,/[^\]$$/p' constraints.txt > .venv/uv.txt
	$(BIN)/python -m pip install --quiet --require-hashes --requirement .venv/uv.txt
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	$(BIN)/uv pip install --quiet --python $(BIN)/python --target .venv/loops --no-deps --requirement tests/loops/requirements.txt
	@touch $@

demo: install
	$(BIN)/bmixup demo

test: lint
	$(PYTEST) -n 2 --dist loadfile -m "not slow"

coverage: install
	$(PYTEST) -n 2 --dist loadfile -m "not slow" --cov --cov-report=term

test-slow: install
	$(PYTEST) -m slow

# With the oldest versions of all direct dependencies that pyproject.toml allows. Their deprecation warnings are no errors.
test-lowest: install
	$(BIN)/uv venv --quiet --clear --seed --python $(BIN)/python .venv/lowest
	$(BIN)/uv pip install --quiet --python .venv/lowest/bin/python --resolution lowest-direct --editable '.[all]'
	$(BIN)/uv pip install --quiet --python .venv/lowest/bin/python hypothesis playwright pypdf pytest pytest-xdist setuptools
	OMP_NUM_THREADS=1 .venv/lowest/bin/python -m pytest -n 2 --dist loadfile -m "not slow" -o filterwarnings=default

# Versions and hashes of everything that `make install` installs; uv refuses a file with another hash.
constraints: install
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --extra dev \
		--output-file constraints.txt pyproject.toml

lint: install
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

clean:
	rm -rf .venv demo runs
