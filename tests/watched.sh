#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a test, and has a hang explain itself: a process of the test that is still there after so many
# seconds prints what all its threads, and all its descendants', wait for. That much later again, if
# it still is. meson starts every test through this, and shows the output of those that fail.
#
# usage: tests/watched.sh SECONDS COMMAND...
set -uo pipefail

limit=$1
shift

children()
{
	cat "/proc/$1/task"/*/children 2>/dev/null || true
}

# with_descendants PID: it, its children, theirs, …
with_descendants()
{
	local child
	echo "$1"
	for child in $(children "$1"); do
		with_descendants "$child"
	done
}

# The name, state, kernel function and system call of each thread: no right to trace is needed.
show_threads()
{
	local task
	for task in "/proc/$1/task"/*; do
		printf '  thread %s (%s): %s, in %s, call %s\n' "${task##*/}" \
			"$(cat "$task/comm" 2>/dev/null)" \
			"$(awk '/^State/ { print $2 }' "$task/status" 2>/dev/null)" \
			"$(cat "$task/wchan" 2>/dev/null)" "$(cat "$task/syscall" 2>/dev/null)"
	done
}

# Only the stacks: gdb has much to say about symbols it does not find.
show_stacks()
{
	timeout 60 gdb -nx --batch -p "$1" -ex 'thread apply all bt 30' 2>/dev/null </dev/null |
		grep -E '^(Thread|#)' | cut -c 1-200 | sed 's/^/  /'
}

explain()
{
	local pid
	for pid in $(with_descendants "$1"); do
		printf -- '---- process %s: %s\n' "$pid" \
			"$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)"
		show_threads "$pid"
		! command -v gdb >/dev/null || show_stacks "$pid"
	done
}

# A suite runs each of its cases in a process of its own; the suite itself may take longer.
watch()
{
	local -A seen=()
	local case now
	while kill -0 "$1" 2>/dev/null; do
		sleep 1 >/dev/null 2>&1 # when the test has ended nobody waits for this
		now=$SECONDS
		for case in $(children "$1"); do
			: "${seen[$case]:=$now}"
			if [ $((now - seen[$case])) -ge "$limit" ]; then
				printf '\n==== process %s has run for %s s\n' "$case" "$limit"
				explain "$case"
				seen[$case]=$now
			fi
		done
	done
}

"$@" &
test=$!
watch $test &
watcher=$!
trap 'kill $watcher $test 2>/dev/null' EXIT
trap 'exit 143' TERM INT
status=0
wait $test || status=$?
exit $status
