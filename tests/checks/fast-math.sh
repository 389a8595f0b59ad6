#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Whatever rounds refuses to be compiled with -ffast-math, and says why.
set -euo pipefail

for compiler in gcc clang; do
	for file in collectives/kernels/{convert,ordered,reduce,set}.c bindings/c/clip.c; do
		name=$compiler-$(basename "$file" .c)
		flags=(-std=c17 -D_GNU_SOURCE -I. -Ibindings/c -fsyntax-only)
		text=$($compiler "${flags[@]}" -ffast-math "$file" 2>&1 || true)
		if [[ $text == *"do not compile them with -ffast-math"* ]] &&
			$compiler "${flags[@]}" "$file"; then
			echo "ok $name"
		else
			echo "not ok $name - it compiles with -ffast-math, or does not without"
		fi
	done
done
