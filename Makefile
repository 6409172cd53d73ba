# Two commands: a report from the embedded model, and everything that CI runs.

PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3.13 python3,$(if $(shell $(p) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo yes),$(p))))
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

PYTEST := OMP_NUM_THREADS=1 $(PY) -m pytest

.PHONY: report test test-fast test-slow test-real clean lint types tests

report: $(VENV)/.installed-extract
	$(PY) -m attentropy.report.cli report --force -o report.html

# The three run at the same time, each to its end; one that fails makes this fail.
test: $(VENV)/.installed-dev
	@$(MAKE) --no-print-directory --jobs=3 --keep-going lint types tests

# While working: no browser, nothing costly, and no kernels, which are interpreted without a GPU.
test-fast: $(VENV)/.installed-dev
	$(PYTEST) --numprocesses auto --dist worksteal -m 'not slow and not browser and not costly and not real' --ignore tests/kernels

# Some need firefox-esr from Debian, which .ci/run installs; without it they are skipped, and say so.
test-slow: $(VENV)/.installed-dev
	$(PYTEST) -m 'slow and not real'

# Two language models, downloaded once (tests/real/README.md): their numbers against float64, and the
# sentences of their reports against a script that judges them by itself. A quarter of an hour.
test-real: $(VENV)/.installed-dev
	$(PYTEST) --numprocesses 2 --dist loadfile -m real tests/real

lint: $(VENV)/.installed-dev
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/ruff format --quiet --check .

types: $(VENV)/.installed-dev
	@$(PY) -m mypy

tests: $(VENV)/.installed-dev
	@$(PYTEST) --numprocesses auto --dist worksteal -m 'not slow and not real'

clean:
	rm -rf $(VENV) report.html

$(PY):
	@test -n "$(PYTHON)" || { echo "attentropy is tested on Python 3.11 to 3.13 and finds none of them: make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# torch first and alone: the exact version of the constraints, whatever else asks for it.
$(VENV)/.installed-extract: pyproject.toml constraints.txt | $(PY)
	$(PIP) torch
	$(PIP) --editable '.[extract]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(PY)
	$(PIP) torch
	$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.installed-extract
