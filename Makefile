# make: run the notebooks and write reports/index.html   make test: the tests   make lab: JupyterLab
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
# An independent Hessian for one test. Without its own dependencies, which pull in another torch.
ORACLE := curvlinops-for-pytorch einconv einops linear_operator

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
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps $(ORACLE)
	touch $@

clean:
	rm -rf $(VENV)
