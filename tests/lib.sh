# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Counting and running: what tests/run.sh, .ci/fresh.sh and .ci/run share.
#
# Results are lines "state TAB name TAB reason" of one file, $RONDE_RESULTS. Whoever opens the file
# first prints the closing lines; a script started by it only adds its own results.
#
# A check is any command. It runs under a time limit, its output goes to a file, and it says:
#   exit 0   passed
#   exit 77  skipped; the last line of its output is the reason
#   else     failed; the end of its output is shown
# A check of several parts prints a line for each, and each is counted instead of the whole:
#   ok NAME     not ok NAME - REASON     skip NAME - REASON

results_open()
{
	results_owner=
	if [ -z "${RONDE_RESULTS:-}" ]; then
		RONDE_RESULTS=$(mktemp)
		export RONDE_RESULTS
		results_owner=1
	fi
	results_before=$(results_count fail)
}

# result ok|fail|skip NAME [REASON]
result()
{
	local state=$1 name=$2 reason=${3:-} skips
	skips=$(dirname "${BASH_SOURCE[0]}")/skips.txt
	if [ "$state" = skip ] && [ "${CI:-}" = true ] &&
		! awk -v name="$name" '$1 == name { found = 1 } END { exit !found }' "$skips"; then
		state=fail
		reason="skipped, and tests/skips.txt does not allow that: $reason"
	fi
	printf '%s\t%s\t%s\n' "$state" "$name" "$reason" >>"$RONDE_RESULTS"
	printf '%-4s  %s%s\n' "$state" "$name" "${reason:+ - $reason}"
}

results_count()
{
	awk -F'\t' -v state="$1" '$1 == state { n++ } END { print n + 0 }' "$RONDE_RESULTS"
}

# Prints every failure and skip with its reason, then the closing line; a script that did not open
# the file prints nothing. 1: something failed since results_open.
results_close()
{
	local failed
	failed=$(results_count fail)
	[ -n "$results_owner" ] || return "$((failed > results_before))"
	printf '\n'
	awk -F'\t' '$1 == "fail" { print "failed:  " $2 ($3 ? " - " $3 : "") }' "$RONDE_RESULTS"
	awk -F'\t' '$1 == "skip" { print "skipped: " $2 ($3 ? " - " $3 : "") }' "$RONDE_RESULTS"
	printf '%d passed, %d failed, %d skipped\n' "$(results_count ok)" "$failed" \
		"$(results_count skip)"
	rm -f "$RONDE_RESULTS"
	return "$((failed > 0))"
}

show_tail()
{
	tail -n "${2:-40}" "$1" | sed 's/^/    | /'
}

# Adds the parts a check printed; 1: it printed none.
results_of_parts()
{
	local check=$1 log=$2 line state name reason found=1
	while read -r line; do
		case $line in
		"ok "*) state=ok name=${line#ok } ;;
		"not ok "*) state=fail name=${line#not ok } ;;
		"skip "*) state=skip name=${line#skip } ;;
		esac
		reason=
		case $name in
		*" - "*) reason=${name#* - } name=${name%% - *} ;;
		esac
		result $state "$check/$name" "$reason"
		found=0
	done < <(grep -E '^(ok|not ok|skip) ' "$log")
	return $found
}

# run_check NAME SECONDS COMMAND...: needs $logs, the folder for what checks print.
run_check()
{
	local name=$1 limit=$2 log status=0 failed
	shift 2
	log=${logs:?}/${name//\//-}.log
	failed=$(results_count fail)
	timeout --kill-after=10 "$limit" "$@" >"$log" 2>&1 </dev/null || status=$?
	case $status in
	0)
		results_of_parts "$name" "$log" || result ok "$name"
		;;
	77)
		result skip "$name" "$(tail -n 1 "$log")"
		;;
	124 | 137)
		results_of_parts "$name" "$log" || true
		result fail "$name" "did not end within $limit s"
		;;
	*)
		results_of_parts "$name" "$log" || true
		[ "$(results_count fail)" -gt "$failed" ] || result fail "$name" "exit status $status"
		;;
	esac
	if [ "$(results_count fail)" -gt "$failed" ]; then
		show_tail "$log"
	fi
}

# project_files PATTERN...: the project's own files of these names, without build folders. No git:
# the tests also run in a bare copy of the sources.
project_files()
{
	local pattern any=(-false)
	for pattern; do
		any+=(-o -name "$pattern")
	done
	find . -mindepth 1 \( -name .git -o -path './build*' \) -prune -o \
		-type f \( "${any[@]}" \) -print | sed 's,^\./,,' | LC_ALL=C sort
}
