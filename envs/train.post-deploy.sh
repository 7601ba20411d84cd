#!/usr/bin/env bash
# Runs in the activated environment, as a copy, in the folder of the run. The environment's YAML already holds every
# package that its rules import, so pip looks for none.
set -euo pipefail
if ! grep --quiet --no-messages '^name = "iphasenet"' pyproject.toml; then
    echo "conda environment: found no iphasenet in $PWD; allowed: the folder of the workflow, which Snakemake is" \
        "started in, or given as --directory" >&2
    exit 1
fi
python -m pip install --quiet --no-deps --no-build-isolation --editable .
