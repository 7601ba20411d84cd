#!/usr/bin/env bash
# Runs in the activated environment, in the folder that Snakemake was started in. The environment's YAML already
# holds every package that its rules import.
set -euo pipefail
python -m pip install --no-deps --no-build-isolation --editable .
