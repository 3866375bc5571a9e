# Two commands do everything on a fresh machine: `make quickstart` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# One line where the interpreter is too old, in place of pip's many after the first downloads.
CHECK_PYTHON = @$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("qakit needs Python 3.11 or newer; $(PYTHON) is %d.%d: name another with PYTHON=python3.11" % sys.version_info[:2])'

# The suite runs on two workers, each with one thread.
PYTEST := OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: help quickstart test exhaustive test-old lint types imports recipes pytest fast audit docs clean

help:
	@echo "make quickstart   install into $(VENV), train the quickstart recipe, evaluate, predict, write a CSV"
	@echo "make test         install into $(VENV), then lint, types, import contracts, recipes, audit and the test suite"
	@echo "make exhaustive   the tests for which others stand in \`make test\`: every case of the large matrices, Ray"
	@echo "make test-old     hand-ins under the oldest packages that they are for, installed into build/ (2 to 3 GB)"
	@echo "make fast         the test suite without the slow tests"
	@echo "make docs         the documentation as a site in build/site, every link checked"
	@echo "make audit        known holes in the pinned dependencies (asks the package index)"

# Each set of extras has its own stamp, so that the quickstart does not wait for the developers' tools.
$(VENV)/.quickstart: pyproject.toml constraints.txt
	$(CHECK_PYTHON)
	@echo "installing qakit, PyTorch and a small encoder into $(VENV), once"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[quickstart]'
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	$(CHECK_PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev,kaggle,study,ray,serve,tensorboard,8bit,onnx,quickstart]'
	touch $(VENV)/.quickstart $@

quickstart: $(VENV)/.quickstart
	$(BIN)/qakit train recipes/quickstart.yaml

test: lint types imports recipes audit pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

recipes: $(VENV)/.dev
	$(BIN)/qakit recipes validate

# It starts many processes: what they import is compiled before, also where Python is told to keep no bytecode.
pytest: $(VENV)/.dev
	$(BIN)/python -m compileall -q qakit plugins
	$(PYTEST) -m "not exhaustive"

fast: $(VENV)/.dev
	$(BIN)/python -m compileall -q qakit plugins
	$(PYTEST) -m "not slow and not exhaustive"

# With `make test` every test there is.
exhaustive: $(VENV)/.dev
	$(BIN)/python -m compileall -q qakit plugins
	$(PYTEST) -m exhaustive

# Not part of `make test`: it downloads Python packages of 2023. Where pip cannot, its tests are skipped and say why.
test-old: $(VENV)/.dev
	QAKIT_OLD_ENVIRONMENT=$(CURDIR)/build/old-python OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false \
		$(BIN)/python -m pytest tests/pipeline/test_old_environment.py

# Not part of `make test`: it needs the network, and its answer changes without any change here.
audit: $(VENV)/.dev
	$(BIN)/python tests/audit.py

# The pages alone need neither qakit nor torch.
$(VENV)/.docs: constraints.txt
	$(CHECK_PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt zensical mkdocstrings-python
	touch $@

docs: $(VENV)/.docs
	$(BIN)/zensical build --strict --clean

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
