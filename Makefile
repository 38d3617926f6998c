# make: run the notebooks and write reports/index.html   make test: the tests   make lab: JupyterLab
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready

.PHONY: reports test lab clean
reports: $(READY)
	$(VENV)/bin/flatlib report

test: $(READY)
	$(VENV)/bin/python -m pytest -n auto

lab: $(READY)
	$(VENV)/bin/jupyter lab notebooks

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bo,dev]'
	touch $@

clean:
	rm -rf $(VENV)
