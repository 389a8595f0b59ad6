#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The documents agree with the files: the README's program is docs/examples/hello.c, what a
# document links to exists, and so does the document or section that a source names. (.ci/fresh.sh runs the README's commands.)
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

# A source names a document as docs/install.md, and a section of it as docs/install.md ("Settings").
unknown=$(project_files '*.c' '*.h' '*.cpp' '*.f90' '*.F90' '*.inc' '*.py' '*.sh' meson.build run | while read -r file; do
	{ grep -oE '\<[a-zA-Z0-9_./-]+\.md\>(,? \(?"[^"]+")?' "$file" || true; } | while read -r name rest; do
		name=${name%,}
		section=$(sed -n 's/^(\{0,1\}"\(.*\)"$/\1/p' <<<"$rest")
		found=
		for document in "$name" "docs/$name" "$(dirname "$file")/$name"; do
			[ ! -e "$document" ] || found=$document
		done
		if [ -z "$found" ]; then
			echo "$file -> $name"
		elif [ -n "$section" ] && ! grep -qE "^#+ $section( \{#.*)?\$" "$found"; then
			echo "$file -> $name, \"$section\""
		fi
	done
done)
if [ -z "$unknown" ]; then
	echo "ok named"
else
	printf '%s\n' "$unknown"
	echo "not ok named - a source names a document or a section that is not there, see above"
fi
