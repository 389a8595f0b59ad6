#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The Python package, from the build folder, on 1 to 4 ranks that ronderun starts. Nothing of it is
# installed yet.
#
# usage: tests/python.sh BUILD-FOLDER
set -euo pipefail
build=$(realpath "$1")
source=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
python=${PYTHON:-/usr/bin/python3}
out=$(mktemp)
trap 'rm -f "$out"' EXIT
failures=0

if ! "$python" -c 'import numpy, pytest' 2>"$out"; then
	echo "$python lacks NumPy or pytest (Debian packages python3-numpy, python3-pytest): $(tail -n 1 "$out")"
	exit 77
fi
export PYTHONPATH=$source/bindings/python RONDE_LIBRARY=$build/libronde.so.0 PYTHONDONTWRITEBYTECODE=1
for ranks in 1 2 3 4; do
	if timeout 120 "$build/bindings/cli/ronderun" -np $ranks "$python" -m pytest -q -p no:cacheprovider \
		"$source/tests/python" >"$out" 2>&1 </dev/null && [ "$(grep -c ' passed' "$out")" = $ranks ]; then
		echo "ok $ranks ranks"
	else
		tail -n 60 "$out"
		echo "not ok $ranks ranks"
		failures=$((failures + 1))
	fi
done

# Without the library: one sentence that says what is missing.
if RONDE_LIBRARY=/nowhere/libronde.so "$python" -c 'import ronde' >"$out" 2>&1 ||
	! grep -q "^ImportError: Ronde's library cannot be loaded: /nowhere.*RONDE_LIBRARY can name it" "$out"; then
	tail -n 20 "$out"
	echo "not ok no_library"
	failures=$((failures + 1))
else
	echo "ok no_library"
fi
[ $failures = 0 ]
