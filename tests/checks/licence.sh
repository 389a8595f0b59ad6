#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every source file names the licence, in one line near its top.
set -euo pipefail
. tests/lib.sh

# Programs without a suffix are those that begin with #!.
programs()
{
	project_files '*' | grep -v '\.[^/]*$' | while read -r file; do
		[ "$(head -c 2 "$file" | tr -d '\0')" != '#!' ] || echo "$file"
	done
}

missing=$({ project_files '*.c' '*.h' '*.inc' '*.cpp' '*.f90' '*.F90' '*.py' '*.sh' '*.awk' '*.cmake.in' \
	CMakeLists.txt meson.build meson_options.txt && programs; } |
	while read -r file; do
		head -n 3 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || echo "$file"
	done)
if [ -n "$missing" ]; then
	printf 'no SPDX-License-Identifier line in:\n%s\n' "$missing"
	exit 1
fi
