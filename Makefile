# Works with GNU make 3.81, the one macOS has.

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed

# The stamp's content is "<interpreter> in <folder>". A bare "make book" keeps the interpreter that
# .venv was made with; a different PYTHON, or a moved folder, makes .venv anew.
RECORDED := $(shell cat $(STAMP) 2>/dev/null)
PYTHON ?= $(or $(firstword $(RECORDED)),python3)
STATE := $(PYTHON) in $(CURDIR)
ifneq ($(RECORDED),$(STATE))
  .PHONY: $(STAMP)
endif

BUILD := $(VENV)/bin/jupyter-book build --all -W -n --keep-going .

JOBS ?= 2
PYTEST := $(PY) -m pytest
NBVAL := --nbval --nbval-current-env -m "not built"
# Where each notebook lies alone, and the kernel that has the package from the wheel.
ANYWHERE := _build/anywhere
NBVAL_ANYWHERE := --nbval --nbval-kernel-name anywhere -m "not built"
# A file's tests stay together: the cells of a notebook need one kernel, and one after the other.
# In the order given: what takes longest starts first.
PARALLEL := -n $(JOBS) --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: book test chapter check links notebooks worksheets lab train clean help html anywhere

help:
	@echo "make book       install into .venv, build the book: _build/html/index.html"
	@echo "make test       test the package and every notebook, build the book, test it in a browser"
	@echo "make chapter    test one notebook: NB=book/first_vae.ipynb"
	@echo "make check      style: ruff check, ruff format --check"
	@echo "make links      ask every address that the book links to; needs a network"
	@echo "make notebooks  run the notebooks in place and renew their outputs (one: NB=book/first_vae.ipynb)"
	@echo "make worksheets write the notebooks without their solutions: _build/worksheets"
	@echo "make lab        open the book's notebooks in JupyterLab"
	@echo "make train      train the recorded runs again, on the full MNIST"
	@echo "make clean      remove _build and caches (.venv stays: delete it by hand)"
	@echo "make help       this list"
	@echo
	@echo "Another interpreter: make PYTHON=python3.12 book"
	@echo "Tests run in two processes; in four, with at least as many cores: make JOBS=4 test"

book: html
	@echo
	@echo "Open $(CURDIR)/_build/html/index.html in a browser."

# --all, because without it a build that failed on a warning passes the second time.
html: $(STAMP)
	@rm -rf _build/html
	@$(BUILD)
	@$(PY) -m equation_checks built

# The notebooks run as readers run them: each alone in a folder, with the package from the wheel.
test: anywhere
	JUPYTER_PATH=$(CURDIR)/$(ANYWHERE)/jupyter \
	  $(PYTEST) $(PARALLEL) $(NBVAL_ANYWHERE) tests/book/test_reading_layer.py $(ANYWHERE)/book tests
	$(MAKE) html
	$(PYTEST) -n $(JOBS) -m built tests
	@$(PY) -m equation_checks report

anywhere: $(STAMP)
	$(PY) tools/anywhere.py

# The cells of one notebook, and of the rules for notebooks those tests that are named after it.
chapter: $(STAMP)
	$(if $(NB),,$(error Name the notebook: make chapter NB=book/first_vae.ipynb))
	$(PYTEST) $(NBVAL) -k "$(notdir $(NB)) or [$(basename $(notdir $(NB)))-" $(NB) tests/book

check: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

links: $(STAMP)
	$(VENV)/bin/jupyter-book build --all --builder linkcheck --path-output _build/links .

notebooks: $(STAMP)
	$(PY) -m equation_checks run $(NB)
	$(PY) -m equation_checks index vae_teach
	$(PY) -m equation_checks sheet vae_teach

worksheets: $(STAMP)
	@$(PY) -m equation_checks worksheets

lab: $(STAMP)
	@$(PY) -c "import jupyterlab" 2>/dev/null || { \
	  echo "JupyterLab is not part of the book's environment. Install it once (about 100 MB), then run make lab again:"; \
	  echo "    $(PY) -m pip install jupyterlab"; exit 1; }
	cd book && ../$(PY) -m jupyterlab

train: $(STAMP)
	$(PY) tools/record_runs.py
	$(PY) tools/record_autoencoders.py
	$(PY) -m vae_teach export-explorer
	$(PY) tools/record_schedules.py
	$(PY) tools/record_film.py
	$(PY) tools/record_collapse.py
	$(PY) tools/record_rate_distortion.py
	$(PY) tools/record_reproduction.py
	$(PY) tools/record_colour.py conv-64
	@echo "The colour run needs the extra packages: pip install -e '.[colour]', then tools/record_colour.py openmoji-32"

clean:
	rm -rf _build build .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# pip runs only when one of the two files changed. The stamp is written last: after a failed or
# interrupted install the next make starts again.
# setuptools comes first and --no-build-isolation after it, so that "-e ." needs no network.
$(STAMP): requirements.txt pyproject.toml
	@command -v "$(PYTHON)" >/dev/null 2>&1 || { \
	  echo "There is no '$(PYTHON)' here. Install Python 3.11 or newer, or name yours: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@"$(PYTHON)" -c "import sys; sys.exit(sys.version_info < (3, 11))" || { \
	  echo "'$(PYTHON)' is $$("$(PYTHON)" --version 2>&1), and the book needs Python 3.11 or newer."; \
	  echo "If you have a newer one, name it: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@"$(PYTHON)" -c "import venv, ensurepip" 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments: its modules venv and ensurepip are missing."; \
	  echo "On Debian and Ubuntu, run: sudo apt install python3-venv"; exit 1; }
	@if [ "$(RECORDED)" ] && [ "$(RECORDED)" != "$(STATE)" ] || \
	  [ "$$($(PY) --version 2>/dev/null)" != "$$("$(PYTHON)" --version)" ]; then \
	  echo "Making $(VENV) with $(PYTHON)"; "$(PYTHON)" -m venv --clear $(VENV); fi
	@echo "Installing requirements.txt into $(VENV): some minutes and about 2 GB the first time"
	@{ $(PY) -m pip install --disable-pip-version-check "$$(grep '^setuptools==' requirements.txt)" && \
	  $(PY) -m pip install --disable-pip-version-check --no-build-isolation -r requirements.txt; } || { \
	  echo; echo "pip could not install the book's requirements; the reason stands above."; \
	  echo "The first install needs a network; run the same make command again to go on."; exit 1; }
	@echo "$(STATE)" > $@
