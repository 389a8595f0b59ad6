#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the tests of one build folder and prints a line for each of them, as tests/lib.sh wants it.
# Two at a time: many of them wait, for a time limit or for a rank that was killed. Unless
# RONDE_TEST_LONG is set, those are left out that show nothing new: under the race checker what has
# one thread a process, with clang what looks at processes from outside.
#
# usage: tests/configuration.sh gcc|clang|asan|tsan FOLDER
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
. "$here/../docs/setup-lib.sh"
setup_tools

configuration=$1
folder=$2
test=("$MESON" test -C "$folder" --no-rebuild --num-processes 2)
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
	if ! probe_works; then
		# A kernel that spreads addresses wider than this gcc's race checker expects.
		probe_works setarch --addr-no-randomize ||
			{ echo "programs built with -fsanitize=thread do not start here"; exit 77; }
		wrapper='setarch --addr-no-randomize'
	fi
	test+=(--timeout-multiplier 5)
	patience=40
	[ -n "${RONDE_TEST_LONG:-}" ] || test+=(--no-suite one-thread --no-suite processes)
	;;
clang)
	[ -n "${RONDE_TEST_LONG:-}" ] || test+=(--no-suite processes)
	;;
esac

test+=(--wrapper "$(printf '%q' "$here/watched.sh") $patience $wrapper")
log=$folder/meson-logs/testlog-watched.sh.json # meson adds the name of the wrapper
rm -f "$log"
"${test[@]}" >"$folder/meson-logs/run.txt" 2>&1 || true
if [ ! -f "$log" ]; then
	cat "$folder/meson-logs/run.txt"
	exit 1
fi
python3 "$here/meson-results.py" "$log" 300
