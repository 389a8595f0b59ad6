#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Each public header compiles alone, twice, as C99, C17 and C++, with every warning an error.
set -euo pipefail

for header in bindings/c/ronde/*.h; do
	name=ronde/${header##*/}
	flags=(-Ibindings/c)
	if [ "$name" = ronde/mpi.h ]; then
		if ! pkg-config --exists ompi-c; then
			echo "skip mpi.h - there is no mpi.h to compile it with (Debian package libopenmpi-dev)"
			continue
		fi
		# An MPI's own header need not be free of warnings.
		read -ra mpi <<<"$(pkg-config --cflags-only-I ompi-c | sed 's/-I/-isystem /g')"
		flags+=("${mpi[@]}")
	fi
	source=$(printf '#include <%s>\n#include <%s>\nint ronde_header_test;\n' "$name" "$name")
	try()
	{
		local title=$1
		shift
		if "$@" "${flags[@]}" -Wall -Wextra -Wpedantic -pedantic-errors -Werror -fsyntax-only - \
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
