# The four verbs: setup, run, test, check. Each sets up what it needs first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TIMM_VENV ?= .venv-timm
OUT ?= results/gpu-check

.PHONY: setup run test test-timm check format docs accuracy soak proof predict-check gpu-check clean

setup: $(READY)

# torch comes first and pinned: asked for by range, pip would fetch another build of it.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "energybench needs Python 3.11 or newer; try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test,dev,docs,notebooks]'
	@touch $@

run: $(READY)
	$(BIN)/energybench run suites/gconv.yaml

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal --durations 25

# timm needs torchvision, which has no build for the pinned CPU torch: an environment of its own with a full build.
test-timm: $(TIMM_VENV)/.ready
	$(TIMM_VENV)/bin/python -m pytest tests/test_timm.py

$(TIMM_VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(TIMM_VENV)
	$(TIMM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check torchvision
	$(TIMM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[timm,test]'
	@touch $@

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The reference pages from the code they describe, and the site into build/site.
docs: $(READY)
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# How wrong are energybench and its peers? Peers come from PyPI into environments of their own; under twenty minutes.
accuracy: $(READY)
	PYTHONPATH=tests $(BIN)/python -m accuracy --fresh

# Do intervals hold the truth, run by run? Hundreds of whole runs on the simulated board; some minutes.
proof: $(READY)
	$(BIN)/python -m pytest -s tests/long_runs.py

# A hundred kills at random instants, and nothing lost; some minutes.
soak: $(READY)
	PYTHONPATH=tests $(BIN)/python tests/soak.py

# Predictions against published latencies (../shared/data, or ENERGYBENCH_DATA): rebuilds docs/prediction.*
# Other files of the same layouts: make predict-check DATA=folder, into build/prediction
predict-check: $(READY)
	$(BIN)/python tests/prediction/check.py $(if $(DATA),$(DATA) --output build/prediction)

# On a machine with a GPU: doctor, calibration, suites, self-test, peers, in under ten minutes with the environment there.
gpu-check:
	$(PYTHON) tests/gpu_check.py $(OUT)

clean:
	rm -rf $(VENV) $(TIMM_VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
