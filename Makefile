# Everything that is done with Sluice by hand or by CI. `make help` lists it.

VENV := .venv
PYTHON_IN_VENV := $(VENV)/bin/python
# The first Python that is new enough; `make PYTHON=/path/to/python` wins.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 10))
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python3.10; do \
	$$python -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$python && break; done)
PIP_INSTALL := $(PYTHON_IN_VENV) -m pip install --disable-pip-version-check --quiet --editable

.DEFAULT_GOAL := help
.PHONY: help setup run demo test test-unit test-kafka test-hdfs test-fault check format bench docs cluster cluster-stop clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 22

setup: $(VENV)/installed-dev ## Make .venv with everything for development

# On a terminal, bash's job control hands Ctrl-C to the program alone: make would turn its exit status 0 into an error.
run: $(VENV)/installed-embedded ## Try Sluice: an embedded broker and one worker, web on http://127.0.0.1:6066; Ctrl-C ends it
	@if [ -t 0 ] && command -v bash >/dev/null; then \
		exec bash -mc '$(PYTHON_IN_VENV) -m deploy.embedded; exit $$?'; \
	else \
		exec $(PYTHON_IN_VENV) -m deploy.embedded; \
	fi

demo: $(VENV)/installed-embedded ## Send a realistic Tomcat's logs to a running Sluice
	@exec $(PYTHON_IN_VENV) -m deploy.demo

test: prepare ## Run every test, on a real Kafka, HDFS, Tomcat and browser
	$(PYTHON_IN_VENV) -m pytest

test-unit: $(VENV)/installed-dev ## Run the tests that need no service
	$(PYTHON_IN_VENV) -m pytest tests/unit tests/property

test-kafka: prepare ## Run the tests that need Kafka
	$(PYTHON_IN_VENV) -m pytest -m kafka

test-hdfs: prepare ## Run the tests that need HDFS
	$(PYTHON_IN_VENV) -m pytest -m hdfs

# Each random schedule takes so long, the look for leaks half as long again; every seed that was used is printed.
FAULT_MINUTES ?= 20
FAULT_SEED ?= 1
test-fault: prepare ## Break things at random for 20 minutes, look for leaks for 30; FAULT_MINUTES=, FAULT_SEED=
	$(PYTHON_IN_VENV) -m pytest tests/fault tests/integration/test_crash_points.py -s --fault-minutes $(FAULT_MINUTES) --fault-seed $(FAULT_SEED) \
		-o timeout=7200 -o faulthandler_timeout=7300

check: $(VENV)/installed-dev ## Formatter, linter, types, generated docs up to date
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(PYTHON_IN_VENV) -m config.reference --check docs/settings.md

format: $(VENV)/installed-dev ## Format the sources and sort their imports
	$(VENV)/bin/ruff check --fix-only --quiet .
	$(VENV)/bin/ruff format .

bench: prepare ## Run every benchmark case with its peers on this idle machine, 30 minutes; CASE="ingest history" for some
	$(PYTHON_IN_VENV) -m bench --json var/bench.json $(CASE)

docs: $(VENV)/installed-dev ## Write the generated docs
	$(PYTHON_IN_VENV) -m config.reference docs/settings.md

cluster: $(VENV)/installed-embedded ## Leave the tests' Kafka and HDFS running, and print their addresses
	@$(PYTHON_IN_VENV) -m deploy.cluster start

cluster-stop: ## Stop what `make cluster` started
	@if [ -d .cluster ]; then $(or $(PYTHON),python3) -m deploy.cluster stop; else echo "No cluster was running."; fi

clean: cluster-stop ## Remove .venv, caches and the cluster's data; var/ stays
	rm -rf $(VENV) .cluster build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: prepare
prepare: $(VENV)/installed-dev # the programs and parts that tests need: installed or fetched, or one line says what to do
	@$(PYTHON_IN_VENV) -m deploy.cluster prepare

$(PYTHON_IN_VENV):
	@if [ -z '$(PYTHON)' ] || ! $(PYTHON) -c '$(NEW_ENOUGH)'; then \
		echo 'Sluice needs Python 3.10 or newer; name one by: make PYTHON=/path/to/python3' >&2; exit 1; fi
	@if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
		echo 'Python has no venv; install it (on Debian or Ubuntu: sudo apt-get install python3-venv)' >&2; exit 1; fi
	@echo 'Making $(VENV) and installing Sluice into it'
	@$(PYTHON) -m venv $(VENV)

# The stamps say what is installed. `dev` has all of `embedded`, so that one never undoes the other. Installing also
# compiles; a machine without a compiler gets one from PyPI, into the virtual environment.
INSTALLED_FROM := setup.cfg setup.py pyproject.toml $(wildcard */_*.pyx */_*.pxi)
ZIG_OF := import pathlib, ziglang; print(pathlib.Path(ziglang.__file__).with_name("zig"))
INSTALL = @CC="$${CC:-$$(command -v gcc || command -v cc || command -v clang)}"; \
	if [ -z "$$CC" ]; then \
		echo 'No C compiler: getting one from PyPI'; \
		$(PYTHON_IN_VENV) -m pip install --disable-pip-version-check --quiet ziglang && \
		CC="$$($(PYTHON_IN_VENV) -c '$(ZIG_OF)') cc"; \
	fi; \
	CC="$$CC" $(PIP_INSTALL)

$(VENV)/installed-embedded: $(INSTALLED_FROM) | $(PYTHON_IN_VENV)
	$(INSTALL) '.[embedded]'
	@touch $@

$(VENV)/installed-dev: $(INSTALLED_FROM) | $(PYTHON_IN_VENV)
	$(INSTALL) '.[dev]'
	@touch $@ $(VENV)/installed-embedded
