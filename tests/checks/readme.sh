#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The documents agree with the files: the README's program is docs/examples/hello.c, and what a
# document links to exists. (.ci/fresh.sh runs the README's commands.)
set -euo pipefail
. tests/lib.sh

if diff <(awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' README.md) \
	<(sed '/SPDX-License-Identifier/d' docs/examples/hello.c); then
	echo "ok program"
else
	echo "not ok program - the C of README.md is not docs/examples/hello.c, see above"
fi

dead=$(project_files '*.md' | while read -r file; do
	{ grep -oE '\]\([^)#]+' "$file" || true; } | sed 's/^](//; /^[a-z]*:/d' |
		while read -r target; do
			[ -e "$(dirname "$file")/$target" ] || echo "$file -> $target"
		done
done)
if [ -z "$dead" ]; then
	echo "ok links"
else
	printf '%s\n' "$dead"
	echo "not ok links - a document links to a file that is not there, see above"
fi
