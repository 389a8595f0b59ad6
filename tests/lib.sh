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
# What it prints in front of "not ok" is why.
#
# The closing section shows the output of all that failed. It begins with a line that a run which
# started this one looks for, so a nested run's failures are shown whole.
results_why="==== the output of what failed"

results_open()
{
	results_owner=
	if [ -z "${RONDE_RESULTS:-}" ]; then
		RONDE_RESULTS=$(mktemp)
		export RONDE_RESULTS
		: >"$RONDE_RESULTS.why"
		results_owner=1
	fi
	results_before=$(results_count fail)
}

# may_skip NAME: a pattern of tests/skips.txt fits it.
may_skip()
{
	local pattern
	while read -r pattern _; do
		# shellcheck disable=SC2053  # a pattern
		[[ $1 != $pattern ]] || return 0
	done <"$(dirname "${BASH_SOURCE[0]}")/skips.txt"
	return 1
}

# result ok|fail|skip NAME [REASON]
result()
{
	local state=$1 name=$2 reason=${3:-}
	if [ "$state" = skip ] && [ "${CI:-}" = true ] && ! may_skip "$name"; then
		state=fail
		reason="skipped, and tests/skips.txt does not allow that: $reason"
	fi
	printf '%s\t%s\t%s\n' "$state" "$name" "$reason" >>"$RONDE_RESULTS"
	printf '%-4s  %s%s\n' "$state" "$name" "${reason:+ - $reason}"
}

# results_count ok|fail|skip [NAME]: of all, or of a check and its parts.
results_count()
{
	awk -F'\t' -v state="$1" -v name="${2-}" \
		'$1 == state && (name == "" || $2 == name || index($2, name "/") == 1) { n++ }
		END { print n + 0 }' "$RONDE_RESULTS"
}

# Prints every failure and skip with its reason, then the closing line; a script that did not open
# the file prints nothing. 1: something failed since results_open.
results_close()
{
	local failed
	failed=$(results_count fail)
	[ -n "$results_owner" ] || return "$((failed > results_before))"
	printf '\n'
	if [ -s "$RONDE_RESULTS.why" ]; then
		echo "$results_why"
		cat "$RONDE_RESULTS.why"
		printf '\n'
	fi
	awk -F'\t' '$1 == "fail" { print "failed:  " $2 ($3 ? " - " $3 : "") }' "$RONDE_RESULTS"
	awk -F'\t' '$1 == "skip" { print "skipped: " $2 ($3 ? " - " $3 : "") }' "$RONDE_RESULTS"
	printf '%d passed, %d failed, %d skipped\n' "$(results_count ok)" "$failed" \
		"$(results_count skip)"
	rm -f "$RONDE_RESULTS" "$RONDE_RESULTS.why"
	return "$((failed > 0))"
}

# show_why NAME: shows the output it reads, now and in the closing section.
show_why()
{
	tail -n 400 | sed "s,^,    | ,;1i\\  -- $1:" | tee -a "$RONDE_RESULTS.why"
}

# What a log that ends in a failure says: a nested run's closing section, or else the last lines.
end_of_log()
{
	if grep -qF "$results_why" "$1"; then
		awk -v mark="$results_why" 'index($0, mark) { on = 1 } on' "$1"
	else
		tail -n 60 "$1"
	fi
}

# Adds the parts a check printed; 1: it printed none.
results_of_parts()
{
	local check=$1 line state name reason found=1 number=0 since=0 lines
	mapfile -t lines <"$2"
	for line in "${lines[@]}"; do
		number=$((number + 1))
		case $line in
		"ok "*) state=ok name=${line#ok } ;;
		"not ok "*) state=fail name=${line#not ok } ;;
		"skip "*) state=skip name=${line#skip } ;;
		*) continue ;;
		esac
		reason=
		case $name in
		*" - "*) reason=${name#* - } name=${name%% - *} ;;
		esac
		result $state "$check/$name" "$reason"
		if [ $state = fail ] && [ $((number - 1)) -gt $since ]; then
			printf '%s\n' "${lines[@]:since:number-1-since}" | show_why "$check/$name"
		fi
		since=$number
		found=0
	done
	return $found
}

# run_check NAME SECONDS COMMAND...: needs $logs, the folder for what checks print.
run_check()
{
	local name=$1 limit=$2 log status=0 failed
	local start=$SECONDS
	shift 2
	log=${logs:?}/${name//\//-}.log
	failed=$(results_count fail "$name")
	timeout --kill-after=10 "$limit" "$@" >"$log" 2>&1 </dev/null || status=$?
	case $status in
	0)
		results_of_parts "$name" "$log" || result ok "$name" "$((SECONDS - start)) s"
		return
		;;
	77)
		result skip "$name" "$(tail -n 1 "$log")"
		return
		;;
	esac
	results_of_parts "$name" "$log" || true
	case $status in
	124 | 137)
		result fail "$name" "did not end within $limit s"
		end_of_log "$log" | show_why "$name"
		;;
	*)
		[ "$(results_count fail "$name")" = "$failed" ] || return 0
		result fail "$name" "exit status $status"
		end_of_log "$log" | show_why "$name"
		;;
	esac
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
