# `make help` lists what there is to do. Every target sets up what it needs, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PEERS := $(VENV)/.peers-installed
PAGE := _build/html/index.html
TO ?= my-exercises

.DEFAULT_GOAL := help
.PHONY: help setup book test lab exercises machines notebooks bench gpu lint clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP)  ## only set up: make .venv and install the exact environment

$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "This course needs Python 3.11 or newer, not " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

book: $(STAMP)  ## execute and build the book; warnings are errors
	$(BIN)/jupyter-book build . -W -n --keep-going --quiet
	@echo "Open this page in a browser: $(abspath $(PAGE))"

test: $(STAMP)  ## run every test: library, notebooks, book, browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --nbval-lax --nbval-current-env

lab: book  ## open JupyterLab on the notebooks
	$(BIN)/jupyter trust notebooks/*.ipynb
	$(BIN)/jupyter lab --config=book/_ext/lab_config.py notebooks/01_joint.ipynb

exercises: $(STAMP)  ## copy fresh notebooks to a folder of your own, TO=my-exercises; keeps what is there
	$(BIN)/python -m tutor.copying notebooks $(TO)
	@echo "Open them: $(BIN)/jupyter lab $(TO)"

machines: $(STAMP)  ## replay the notebooks as other machines would: old processor, one to four threads
	MACHINES=all $(BIN)/python -m pytest tests/book/test_machines.py

notebooks: $(STAMP)  ## write notebooks/ anew from the chapters
	$(BIN)/python book/_ext/make_notebooks.py

$(PEERS): benchmarks/requirements.txt $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.txt --requirement $<
	@touch $@

bench: $(PEERS)  ## run the benchmarks; results go to benchmarks/results/
	@set -e; for script in benchmarks/bench_*.py; do echo "$$script"; $(BIN)/python "$$script"; done

gpu:  ## benchmarks and the package's tests on a GPU, with a Python whose torch sees one: make gpu PYTHON=python3
	PYTHONPATH=.:$$PYTHONPATH $(PYTHON) benchmarks/gpu.py

lint: $(STAMP)  ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:  ## remove what the build made (not .venv, not notebooks/)
	rm -rf _build
