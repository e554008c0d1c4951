# make demo   a segmentation from nothing, in minutes
# make test   the test suite
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test test-slow lint types imports check docs bench bench-quick clean

.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "biounet needs Python 3.11 or newer; say which: make PYTHON=python3.12 ..."; exit 2; }
	$(PYTHON) -m venv .venv
	touch $@

.venv/runtime: .venv/made pyproject.toml constraints.txt
	$(PIP) -e .
	touch $@

.venv/development: .venv/runtime
	$(PIP) -e '.[cluster,cpu,bioimageio,studio,test,docs,dev]'
	touch $@

demo: .venv/runtime
	rm -rf demo
	$(BIN)/biounet demo --out demo

# One thread a process: as many processes as cores.
test: .venv/development
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadfile -m 'not slow'

test-slow: .venv/development
	$(BIN)/pytest -m slow

lint: .venv/development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/development
	$(BIN)/mypy

imports: .venv/development
	$(BIN)/lint-imports

check: test lint types imports

docs: .venv/development
	$(BIN)/mkdocs build --strict

# Other tools, for comparison, in an environment of their own. None of their dependencies is taken
# along that would bring another PyTorch.
.venv-peers/made: benchmarks/peers-constraints.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		-r benchmarks/peers-constraints.txt
	touch $@

bench: .venv/development .venv-peers/made
	$(BIN)/python benchmarks/speed

bench-quick: .venv/development .venv-peers/made
	$(BIN)/python benchmarks/speed --quick

clean:
	rm -rf .venv .venv-peers build dist site demo
