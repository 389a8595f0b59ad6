#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds one configuration, or runs its tests and prints a line for each of them, as tests/lib.sh wants
# it. One more at a time than two processors would have: many of them wait, for a time limit or for a rank
# that was killed.
#
# gcc builds everything that there is. The others build what their tests need, and unless
# RONDE_TEST_LONG is set leave out the tests that show nothing new: under the race checker what has one
# thread a process, with clang what looks at processes from outside, or waits for a time limit, and more
# than one shape of nodes but with gcc. The sanitizers are gcc's: their
# run-time libraries are shared ones, so that libronde.so links with no symbol missing. Programs with
# them are less optimised (but for the kernels), and carry what a stack needs for its line numbers: that
# halves the time it takes to build them. Warnings are errors in the other two: gcc guesses worse about code with checks in it.
#
# usage: tests/configuration.sh build|test gcc|clang|asan|tsan FOLDER
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
. "$here/../docs/setup-lib.sh"
setup_tools

what=$1
configuration=$2
folder=$3
bare=(-Dexamples=disabled -Dfortran=disabled)
little=("${bare[@]}" -Doptimization=1 -Ddebug=false -Dc_args=-g1)
left_out=() # suites
compiler=gcc
case $configuration in
gcc) options=(-Dwerror=true -Dexamples=enabled) ;;
clang) options=(-Dwerror=true "${bare[@]}") compiler=clang left_out=(processes waits shapes) ;;
asan) options=("${little[@]}" "-Db_sanitize=address,undefined") left_out=(shapes) ;;
tsan) options=("${little[@]}" -Db_sanitize=thread) left_out=(one-thread processes shapes) ;;
esac
[ -z "${RONDE_TEST_LONG:-}" ] || left_out=()

if [ "$what" = build ]; then
	CC=$compiler setup_configure "$folder" -Dtests=enabled "${options[@]}"
	targets=()
	if [ "$configuration" != gcc ]; then
		"${NINJA:-ninja}" -C "$folder" build.ninja # the tests of today, not those of the last build
		mapfile -t targets < <("$MESON" introspect --tests --targets "$folder" |
			python3 "$here/meson-targets.py" "$folder" "${left_out[@]}")
		[ ${#targets[@]} -gt 0 ] || setup_die "meson knows no tests of $folder"
	fi
	exec "${NINJA:-ninja}" -C "$folder" "${targets[@]}"
fi

test=("$MESON" test -C "$folder" --no-rebuild --num-processes $(($(nproc) > 1 ? 3 : 2)))
for suite in "${left_out[@]}"; do
	test+=(--no-suite "$suite")
done
patience=20 # seconds until a case of a suite is asked what it waits for
wrapper=
probe=$folder/probe

# A sanitizer may be there and not work: seen by trying it on a program of one thread.
probe_works()
{
	"$@" "$probe" 2>/dev/null
}

compile_probe()
{
	printf '%s\n' '#include <stdlib.h>' 'int main(void) { free(malloc(1)); return 0; }' |
		gcc -fsanitize="$1" -x c - -o "$probe"
}

case $configuration in
asan)
	compile_probe address
	export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1}
	export UBSAN_OPTIONS=${UBSAN_OPTIONS:-halt_on_error=1:print_stacktrace=1}
	if ! probe_works; then
		export ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0
		probe_works || { echo "programs built with -fsanitize=address do not start here"; exit 77; }
		echo "skip leaks - LeakSanitizer cannot trace its process here"
	fi
	test+=(--timeout-multiplier 3)
	;;
tsan)
	compile_probe thread
	export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1:second_deadlock_stack=1:atexit_sleep_ms=0}
	# The race checker has fixed places for a program's memory. A kernel that spreads addresses widely
	# may leave no room in them for a large reserve, or none at all.
	if probe_works setarch --addr-no-randomize; then
		wrapper='setarch --addr-no-randomize'
	elif ! probe_works; then
		echo "programs built with -fsanitize=thread do not start here"
		exit 77
	fi
	test+=(--timeout-multiplier 5)
	patience=40
	;;
esac

[ -z "${RONDE_TEST_LONG:-}" ] || test+=(--timeout-multiplier 20)
test+=(--wrapper "$(printf '%q' "$here/watched.sh") $patience $wrapper")
log=$folder/meson-logs/testlog-watched.sh.json # meson adds the name of the wrapper
rm -f "$log"
"${test[@]}" >"$folder/meson-logs/run.txt" 2>&1 || true
if [ ! -f "$log" ]; then
	cat "$folder/meson-logs/run.txt"
	exit 1
fi
python3 "$here/meson-results.py" "$log" 300
