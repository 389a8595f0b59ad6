#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every file in C and C++ looks as .clang-format says.
set -euo pipefail
. tests/lib.sh

wrong=$(project_files '*.c' '*.h' '*.cpp' |
	xargs clang-format --dry-run 2>&1 >/dev/null | sed -n 's/^\([^ :]*\):[0-9].*/\1/p' | sort | uniq -c)
if [ -n "$wrong" ]; then
	printf 'places to repair, file:\n%s\nrepair with: clang-format -i FILE\n' "$wrong"
	exit 1
fi
