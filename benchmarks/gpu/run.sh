#!/bin/bash
# All that a GPU should show, in one command without a network:
#     bash run.sh [--minutes 8] [--output FOLDER]
# Results are written after each step: FOLDER (results beside this script, if not given) goes back whole. Nothing else
# is written here.
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "run.sh: found $("$python" --version 2>&1 | tail -n 1); allowed: Python 3.11 or newer as python3, or \$PYTHON" >&2
    exit 1
fi
# The folder's own modules come first, whatever lies where this is called.
export PYTHONSAFEPATH=1 PYTHONPATH="$here:$here/src${PYTHONPATH:+:$PYTHONPATH}"
exec "$python" -m benchmarks.gpu.run "$@"
