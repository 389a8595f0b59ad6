#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Each public header compiles alone, twice, as C99, C17 and C++, with every warning an error.
set -euo pipefail

for header in bindings/c/ronde/*.h; do
	name=ronde/${header##*/}
	case $name in
	ronde/mpi.h) continue ;; # needs mpi.h
	esac
	source=$(printf '#include <%s>\n#include <%s>\nint ronde_header_test;\n' "$name" "$name")
	try()
	{
		local title=$1
		shift
		if "$@" -Ibindings/c -Wall -Wextra -Wpedantic -pedantic-errors -Werror -fsyntax-only - \
			<<<"$source"; then
			echo "ok ${header##*/}-$title"
		else
			echo "not ok ${header##*/}-$title - $* does not take it"
		fi
	}
	try c99-gcc gcc -std=c99 -x c
	try c17-gcc gcc -std=c17 -x c
	try c99-clang clang -std=c99 -x c
	try c++11-gcc g++ -std=c++11 -x c++
	try c++17-gcc g++ -std=c++17 -x c++
	try c++17-clang clang++ -std=c++17 -x c++
done
