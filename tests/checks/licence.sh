#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every source file names the licence, in one line near its top.
set -euo pipefail
. tests/lib.sh

missing=$(project_files '*.c' '*.h' '*.inc' '*.py' '*.sh' '*.awk' meson.build meson_options.txt |
	while read -r file; do
		head -n 3 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || echo "$file"
	done)
if [ -n "$missing" ]; then
	printf 'no SPDX-License-Identifier line in:\n%s\n' "$missing"
	exit 1
fi
