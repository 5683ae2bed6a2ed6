# `make` lists the targets. Each one makes .venv first when it is missing or when what it is made from changed.
#
#   PYTHON=python3.12 make setup      the interpreter that .venv is made with, 3.11 or newer
#   WORKERS=8 make test               test processes
#   ARGS='-k split -x' make test      more options for pytest

PYTHON ?= python3
WORKERS ?= 2
ARGS ?=

BENCHMARKS ?= stitch_overhead record_overhead end_to_end live_edit guard_audit guard_recorder compile_time warm_start panel_on_screen

BIN := .venv/bin
INSTALLED := .venv/.installed
PYTEST := $(BIN)/python -m pytest
# A file is one process's; the long ones first, as tests/conftest.py sorts them, not those with the most tests.
PARALLEL := -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: help setup demo test test-full test-browser notebooks bench lab lint types gallery

help:
	@echo "make setup         make .venv and install everything into it"
	@echo "make demo          compile the toy llama and write report.html"
	@echo "make test          the tests that need neither a GPU nor a browser nor much time"
	@echo "make test-full     these and the slow ones"
	@echo "make test-browser  the tests in a headless browser; pictures in build/screenshots/"
	@echo "make notebooks     run every notebook"
	@echo "make bench         run every benchmark; fails when one missed a target"
	@echo "make lab           open JupyterLab on notebooks/"
	@echo "make lint          formatting and lint, changes nothing"
	@echo "make types         the type checker"
	@echo "make gallery       lessons, documents and reports of the sample models as web pages, in build/gallery/"

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": set PYTHON=python3.11")'
	@echo "Installing into .venv; the first time takes minutes."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[notebook,test]'
	@touch $@

demo: setup
	$(BIN)/explorer report sample_models.toy_llama:sample -o report.html
	@echo "The report is at $(CURDIR)/report.html"

test: setup
	$(PYTEST) $(PARALLEL) $(ARGS)

test-full: setup
	$(PYTEST) -m 'not gpu and not browser' $(PARALLEL) $(ARGS)

# pytest ends with 5 when it finds no test.
test-browser: setup
	SCREENSHOTS=$${SCREENSHOTS:-build/screenshots} $(PYTEST) -m browser $(PARALLEL) $(ARGS) || { [ $$? -eq 5 ] && echo "There are no browser tests."; }

# --nbmake-timeout is seconds per cell, --timeout seconds per notebook.
notebooks: setup
	$(PYTEST) --nbmake notebooks -n $(WORKERS) --nbmake-timeout=300 --timeout=900 $(ARGS)

# Each runs, whatever the ones before it found.
bench: setup
	@missed=; for name in $(BENCHMARKS); do \
	    echo "== $$name"; $(BIN)/python -m tests.benchmarks.$$name || missed="$$missed $$name"; \
	done; \
	[ -z "$$missed" ] || { echo "Missed a target:$$missed"; exit 1; }

lab: setup
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/notebooks

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup
	$(BIN)/pyright

gallery: setup
	$(BIN)/python docs/gallery.py -o build/gallery --workers $(WORKERS) $(ARGS)
