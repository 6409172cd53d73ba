# Two commands: a report from the embedded model, and everything that CI runs.

PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3,$(if $(shell $(p) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo yes),$(p))))
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: report test test-slow clean

report: $(VENV)/.installed-extract
	$(PY) -m attentropy.report.cli report --force -o report.html

test: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(PY) -m mypy
	OMP_NUM_THREADS=1 $(PY) -m pytest --numprocesses auto --dist loadfile -m 'not slow'

test-slow: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(PY) -m pytest -m slow

clean:
	rm -rf $(VENV) report.html

$(PY):
	@test -n "$(PYTHON)" || { echo "attentropy needs Python 3.11 or 3.12; give one with make PYTHON=..."; exit 1; }
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
