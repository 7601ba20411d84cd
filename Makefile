PYTHON ?= python3
CORES ?= all
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Snakemake and matplotlib keep caches in the home, and Snakemake ends where it cannot write there.
ifneq ($(shell test -w "$$HOME" && echo writable),writable)
export XDG_CACHE_HOME ?= $(CURDIR)/.cache
export MPLCONFIGDIR ?= $(CURDIR)/.cache/matplotlib
endif
STAMP := .venv/.installed
SNAKEMAKE := $(BIN)/snakemake --cores $(CORES) --configfile config/demo.yaml

.PHONY: help demo plan report test test-slurm test-oldest lint settings bench gpu-pack gpu-rehearse thermal accuracy model generalisation clean-demo

## demo: the whole chain in minutes on two cores
demo: $(STAMP)
	@$(SNAKEMAKE)
	@echo
	@echo "Report:   $$PWD/results/demo/report.html"
	@echo "Data set: $$PWD/results/demo/dataset.zarr"

## plan: what the demo costs on this machine, before it starts
plan: $(STAMP)
	@$(BIN)/snakemake --cores $(CORES) plan --configfile config/demo.yaml

## report: Snakemake's own report of the demo, with run times and provenance
report: demo
	@$(SNAKEMAKE) --report results/demo/snakemake-report.html

## test: everything that continuous integration runs
test: $(STAMP) lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

## test-slurm: the workflow on a real Slurm, set up on this machine with apt-get as root; skipped where that cannot be
test-slurm: $(STAMP)
	IPHASENET_TEST_SLURM=1 $(BIN)/pytest tests/slurm

## test-oldest: the unit tests with the oldest versions that pyproject.toml allows, in an environment of their own
test-oldest: $(STAMP)
	$(PYTHON) -m venv .venv-oldest
	$(BIN)/python tests/oldest_versions.py > .venv-oldest/constraints.txt
	.venv-oldest/bin/python -m pip install --quiet --constraint .venv-oldest/constraints.txt --editable ".[s3,test]"
	# Old libraries warn of what newer ones beside them have renamed.
	PATH="$(CURDIR)/.venv-oldest/bin:$$PATH" .venv-oldest/bin/python -m pytest -W default tests/unit \
		--ignore tests/unit/test_environments.py

## lint: format, style, types, layers, workflow
lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow/Snakefile workflow/rules
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/snakemake --lint --snakefile workflow/Snakefile

## settings: write the schema and the tables of config/README.md that follow from the dataclasses of settings
settings: $(STAMP)
	$(BIN)/python -m iphasenet.planning.configuration_pages

## bench: one published sample by abTEM and by this engine, and what cost depends on; leave the machine alone meanwhile
bench: $(STAMP)
	@mkdir -p results/benchmarks
	$(BIN)/python benchmarks/published_sample.py
	$(BIN)/python benchmarks/cost.py results/benchmarks/cost.csv results/benchmarks/cost.png

## gpu-pack: the folder that measures and trains on a GPU machine, of a finished run's images: make gpu-pack RUN=results/published
gpu-pack: $(STAMP)
	PYTHONPATH=. $(BIN)/python -m benchmarks.gpu --pack gpu --wheels $(if $(RUN),--run $(RUN))

## gpu-rehearse: all that run.sh does there, on this CPU at toy size
gpu-rehearse: $(STAMP)
	PYTHONPATH=. OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.gpu --rehearse

## thermal: errors and cost of images of moving atoms; hours on two cores
thermal: $(STAMP)
	@for measure in configuration mean neglects period grid window cost; do \
		$(BIN)/python benchmarks/thermal.py $$measure || exit 1; done

## accuracy: the errors of atoms at rest in docs/accuracy.md; hours on two cores
accuracy: $(STAMP)
	@mkdir -p results/benchmarks && rm -f results/benchmarks/window.csv
	$(BIN)/python benchmarks/window.py results/benchmarks/window.csv
	@for measure in converged published tilt; do rm -f results/benchmarks/$$measure.csv; \
		$(BIN)/python benchmarks/accuracy.py $$measure results/benchmarks/$$measure.csv || exit 1; done
	$(BIN)/python benchmarks/error_tables.py results/benchmarks

## model: train config/laptop.yaml, two hours on two cores, and keep its weights and card in resources/models
model: $(STAMP)
	$(BIN)/snakemake --cores $(CORES) --configfile config/laptop.yaml
	$(BIN)/python -c "from pathlib import Path; from iphasenet.evaluation.model_card import publish_model; \
		publish_model(Path('results/laptop'), Path('resources/models/laptop.safetensors'))"

## generalisation: config/laptop.yaml's network on what it has not seen; hours on two cores
generalisation: $(STAMP)
	$(BIN)/snakemake --cores $(CORES) --configfile config/laptop.yaml
	@for case in config/generalisation/*.yaml; do \
		$(BIN)/snakemake --cores $(CORES) --configfile config/laptop.yaml $$case || exit 1; done
	$(BIN)/snakemake --cores $(CORES) --configfile config/laptop.yaml config/generalisation.yaml

## help: this list
help:
	@sed -n 's/^## /make /p' $(firstword $(MAKEFILE_LIST))

## clean-demo: forget the demo
clean-demo:
	rm -rf results/demo

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c "import sys; sys.version_info >= (3, 11) or sys.exit('Python 3.11 or newer is needed; found ' + sys.version.split()[0])"
	@PYTHONPATH=src $(PYTHON) -m iphasenet.planning.checkout
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $(STAMP)
