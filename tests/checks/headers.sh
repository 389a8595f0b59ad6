#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Each public header compiles alone, twice, as C99 to C17 and C++11 to C++20, with both compilers and
# every warning an error; and so does what it says to start a struct with.
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
	# RONDE_INIT_OPTIONS_INIT starts a ronde_init_options, and so on.
	while read -r start; do
		type=${start%_INIT}
		source+=$'\n'"extern ${type,,} ${type,,}_test; ${type,,} ${type,,}_test = $start;"
	done < <(sed -n 's/^#define \(RONDE_[A-Z_]*_INIT\)\>.*/\1/p' "$header")
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
	for standard in c99 c11 c17; do
		try "$standard-gcc" gcc "-std=$standard" -x c
		try "$standard-clang" clang "-std=$standard" -x c
	done
	for standard in c++11 c++14 c++17 c++20; do
		try "$standard-gcc" g++ "-std=$standard" -x c++
		try "$standard-clang" clang++ "-std=$standard" -x c++
	done
done
