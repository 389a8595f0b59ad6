#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the tests need, builds Ronde in several configurations and runs every test. Can be
# run again and again; then it builds only what has changed.
#
# usage: tests/run.sh [--all | --quick] [NAME...]
#   --all    also the long runs (RONDE_TEST_LONG=1 in the tests' environment)
#   --quick  one configuration, no clang, no sanitizers
#   NAME     only these: configurations (gcc clang asan tsan), checks (files of tests/checks) and
#            shell tests (launchers examples ronderun cluster python). aarch64 takes minutes: named, or
#            with --all
# environment: RONDE_BUILD  folder of the build folders (default: build-tests)
#              CI=true      a skip that tests/skips.txt does not name is a failure
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. docs/setup-lib.sh
. tests/lib.sh

checks=()
for check in tests/checks/*.sh; do
	check=${check##*/}
	checks+=("${check%.sh}")
done
shell_tests=()
for check in launchers examples ronderun cluster python; do
	[ ! -e tests/$check.sh ] || shell_tests+=("$check")
done
everything=("${checks[@]}" gcc "${shell_tests[@]}" clang asan tsan)

quick=
names=()
for argument; do
	case $argument in
	--all) export RONDE_TEST_LONG=1 ;;
	--quick) quick=1 ;;
	-h | --help)
		sed -n '3,14s/^# \{0,1\}//p' "$0"
		exit
		;;
	*)
		[[ " ${everything[*]} " == *" $argument "* ]] ||
			setup_die "there is no \"$argument\"; there are: --all --quick ${everything[*]}"
		names+=("$argument")
		;;
	esac
done

wanted()
{
	if [ ${#names[@]} -gt 0 ]; then
		[[ " ${names[*]} " == *" $1 "* ]]
	elif [ -n "$quick" ]; then
		[[ " aarch64 tidy clang asan tsan " != *" $1 "* ]]
	elif [ -z "${RONDE_TEST_LONG:-}" ]; then
		[ "$1" != aarch64 ]
	fi
}

# Builds one after the other, with what the tests in front leave of the processors.
build_all()
{
	local configuration status
	for configuration; do
		status=0
		nice -n 19 tests/configuration.sh build "$configuration" "$builds/$configuration" \
			>"$logs/$configuration-build.log" 2>&1 </dev/null || status=$?
		echo $status >"$builds/$configuration.built"
	done
}

# built CONFIGURATION: waits until it is, and says how that went.
built()
{
	local log=$logs/$1-build.log status=$builds/$1.built
	[ -s "$status" ] || setup_say "building: $1"
	while [ ! -s "$status" ] && kill -0 "$builder" 2>/dev/null; do
		sleep 0.2
	done
	if [ "$(cat "$status" 2>/dev/null)" = 0 ]; then
		result ok "$1/build"
	else
		result fail "$1/build" "the whole text is in $log"
		end_of_log "$log" | show_why "$1/build"
		return 1
	fi
}

purposes=(build data test)
! wanted aarch64 || purposes+=(cross)
setup_install "${purposes[@]}"
setup_tools
setup_mpirun

builds=${RONDE_BUILD:-build-tests}
{ mkdir -p "$builds" 2>/dev/null && [ -w "$builds" ]; } ||
	setup_die "cannot write to the folder $builds; name another one: RONDE_BUILD=FOLDER $0"
builds=$(realpath "$builds")
logs=$builds/logs
mkdir -p "$logs"
results_open

# Checks and shell tests look at the first configuration.
export BUILD=$builds/gcc MESON
configurations=(gcc)
for configuration in tsan asan clang; do
	! wanted $configuration || configurations+=("$configuration")
done
rm -f "$builds"/*.built
set -m # a process group of its own, so that all of it can be ended
build_all "${configurations[@]}" &
builder=$!
set +m
trap 'kill -- -$builder 2>/dev/null || true' EXIT

if built gcc; then
	wanted gcc && run_check gcc 1500 tests/configuration.sh test gcc "$BUILD"
	for check in "${shell_tests[@]}"; do
		wanted "$check" && run_check "$check" 900 tests/"$check".sh "$BUILD"
	done
fi
# The checks come beside the tests of the other configurations: most have one process, and many of
# the tests wait. What they print comes when all of them are done.
set -m
for check in "${checks[@]}"; do
	wanted "$check" && run_check "$check" 900 nice -n 10 tests/checks/"$check".sh
done >"$logs/checks.txt" 2>&1 &
checker=$!
set +m
trap 'kill -- -$builder -$checker 2>/dev/null || true' EXIT
wanted aarch64 || [ ${#names[@]} -gt 0 ] ||
	result skip aarch64/left-out "takes minutes: tests/run.sh aarch64, or --all"
for configuration in "${configurations[@]:1}"; do
	built "$configuration" && run_check "$configuration" 1800 \
		tests/configuration.sh test "$configuration" "$builds/$configuration"
done
wait $checker || true
cat "$logs/checks.txt"
results_close
