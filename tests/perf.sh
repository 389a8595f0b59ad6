#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ronde-perf works: every command, every type and reduction, wrong arguments, a rank that is killed.
# So do ronde-perf-algorithms, -limits and -signal, and the program that writes docs/performance.md. No
# figure is looked at but the number of wrong elements.
#
# usage: tests/perf.sh RONDE-PERF RONDE-PERF-ALGORITHMS RONDE-PERF-SIGNAL RONDE-PERF-LIMITS [few]
# few: where programs are slow, not every number of ranks and every type with each command
set -euo pipefail

perf=$1
algorithms=$2
signal=$3
limits=$4
sizes="1 2 3" reduced='(float16|float32|^uint8)|sum$'
[ "${5-}" != few ] || sizes=3 reduced='^(float16|float32|uint8)sum$|^float16'
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failures=0

not_ok()
{
	tail -n 20 "$folder"/out.*
	echo "not ok $1 - $2"
	failures=$((failures + 1))
}

# ranks N ARGUMENT...: runs N ranks, without a launcher; what rank i prints goes to $folder/out.i.
# Returns the last status that is not 0.
program=$perf
ranks()
{
	local n=$1 i status=0 pids=() address
	shift
	address=ronde-perf-test-$$-$RANDOM
	rm -f "$folder"/out.*
	for ((i = 0; i < n; i++)); do
		RONDE_RANK=$i RONDE_SIZE=$n RONDE_ADDRESS=$address \
			timeout 100 "$program" "$@" >"$folder/out.$i" 2>&1 </dev/null &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i" || status=$?
	done
	return $status
}

# works N TEXT ARGUMENT...: N ranks end well and rank 0 prints TEXT.
works()
{
	local n=$1 text=$2
	shift 2
	if ! ranks "$n" "$@"; then
		not_ok "$n ranks: $*" "a rank failed"
	elif ! grep -qF -- "$text" "$folder/out.0"; then
		not_ok "$n ranks: $*" "\"$text\" was not printed"
	else
		echo "ok $n ranks: $*"
	fi
}

# refuses TEXT ARGUMENT...: a message that holds TEXT, and a status that is not 0.
refuses()
{
	local text=$1
	shift
	if ranks 1 "$@"; then
		not_ok "refuses $*" "it ended well"
	elif ! grep -qF -- "$text" "$folder/out.0"; then
		not_ok "refuses $*" "\"$text\" was not printed"
	else
		echo "ok refuses $*"
	fi
}

few="-n 3 -w 1 -c 2"
for n in $sizes; do
	for command in allreduce broadcast allgather reduce_scatter alltoall; do
		# shellcheck disable=SC2086
		works $n "# wrong elements: 0;" $command -b 0 -e 300K -f 40 $few
	done
done
for type in uint8 int8 uint16 int16 uint32 int32 uint64 int64 float16 bfloat16 float32 float64; do
	for reduction in sum average min max product; do
		# All reductions of some types, some of all.
		[[ $type$reduction =~ $reduced ]] || continue
		# shellcheck disable=SC2086
		works 2 "# wrong elements: 0;" allreduce -d $type -o $reduction -b 40K -e 40K $few
	done
done
works 3 "# wrong elements: 0;" allreduce -o average -d float32 -b 40K -e 40K -n 3
works 2 "# wrong elements: 0;" allreduce -d bool -o max -b 40K -e 40K -n 3
works 2 "# wrong elements: 0;" barrier -n 3
works 2 "back-to-back" allreduce -b 32 -e 32 --latency -n 10
works 2 "tensors left in" step --model lenet5 -n 3
works 2 "timeline, ordinary: off" step --model lenet5 --timeline "$folder/step.%r.json" -n 3
works 2 "ordinary: one by one" step --model lenet5 --group -n 3 --csv "$folder/step.csv"
if [ "$(grep -cE ',(one-by-one|group),' "$folder/step.csv")" = 4 ]; then
	echo "ok groups in the csv"
else
	not_ok "groups in the csv" "there are others than 4 rows of them"
fi
# What overlap prints depends on who gets a core when; here it has to end, and to say it all.
ranks 2 overlap -e 1M || true
if [ "$(grep -c "in opposite orders" "$folder/out.0")" = 2 ] && grep -q "as it should be" "$folder/out.0"; then
	echo "ok overlap"
else
	not_ok overlap "it did not come to its end"
fi
works 2 "keeps" idle --seconds 0.2

works 2 "memcpy" allreduce -b 1K -e 4K -n 3 --compare --inplace --csv "$folder/data.csv"
rows=$(wc -l <"$folder/data.csv")
columns=$(awk -F, '{ print NF }' "$folder/data.csv" | sort -u)
# A line of names; 3 sizes, 2 kinds of memory, Ronde and memcpy.
if [ "$rows" = 13 ] && [ "$columns" = 17 ]; then
	echo "ok csv"
else
	not_ok csv "$rows rows of $columns columns"
fi

refuses "there is no command \"fly\"" fly
refuses "a command is missing" -n 3
refuses "there is no such type" allreduce -d float99
refuses "there is no such reduction" allreduce -o mean
refuses "-b \"12x\"" allreduce -b 12x
refuses "-b 64 is more than -e 32" allreduce -b 64 -e 32
refuses "-r 5: there are only 1 ranks" broadcast -r 5
refuses "can't write to /nonexistent/file" allreduce -e 8 --csv /nonexistent/file
refuses "there are resnet50 and lenet5" step --model vgg

# alone TEXT COMMAND...: a program without ranks of its own ends well and prints TEXT.
alone()
{
	local text=$1
	shift
	if ! timeout 100 "$@" >"$folder/out.0" 2>&1 </dev/null; then
		not_ok "${*##*/}" "it failed"
	elif ! grep -q -- "$text" "$folder/out.0"; then
		not_ok "${*##*/}" "\"$text\" was not printed"
	else
		echo "ok ${*##*/}"
	fi
}

for n in $sizes; do
	for placement in "" --out-of-place; do
		# shellcheck disable=SC2086
		alone "^# wrong elements: 0$" "$algorithms" -n $n -a allreduce -b 4K -e 300K -c 64K -r 2 $placement
	done
done
alone "^ *4096  allreduce-moves-heap/bs " "$algorithms" -b 4K -e 4K -r 1 --out-of-place
alone "^a cache line there and back: " "$signal"

# An allreduce beside what it is made of: every contestant is there, and what it leaves is right.
program=$limits
for n in $sizes; do
	# shellcheck disable=SC2086
	works $n "# wrong elements: 0" allreduce -b 0 -e 300K -f 40 $few
done
works 2 "# wrong elements: 0" allreduce --latency -b 32 -e 32 -n 10 --csv "$folder/limits.csv"
works 2 "# wrong elements: 0" allreduce -b 4K -e 4K -n 3 --csv "$folder/limits.csv"
who=$(awk -F, 'NR > 1 && !seen[$2]++ { printf "%s ", $2 }' "$folder/limits.csv")
if [ "$who" = "memcpy ronde ronde-handle bare moves-lines ronde-8 moves-heap moves-heap/s moves-heap/b \
moves-heap/bs moves-heap-direct moves-heap-direct/s moves-slices moves-slices/s moves-slices/p moves-slices/ps moves-direct moves-direct/s moves-direct/p \
moves-direct/ps " ]; then
	echo "ok contestants of an allreduce's parts"
else
	not_ok "contestants of an allreduce's parts" "they are: $who"
fi
refuses "there is no command \"broadcast\"" broadcast
refuses "the moves are those of a sum of float32" allreduce -d float16 -e 8
program=$perf

# The page that is there is what its program makes of the data that are there.
cp -r "$source/docs/performance" "$folder/performance"
docs=$source/docs
cp "$docs/performance.md" "$folder/page"
if PYTHONDONTWRITEBYTECODE=1 python3 "$source/perf/report.py" page "$folder/performance" "$folder/page" \
	>"$folder/out.0" 2>&1 &&
	diff -u "$docs/performance.md" "$folder/page" >"$folder/out.0"; then
	echo "ok the page of the data"
else
	not_ok "the page of the data" "docs/performance.md is not what perf/report.py makes: run it"
fi

# Each goal that is missed has a row that says what misses it; a page that lacks one is seen.
explained()
{
	PYTHONDONTWRITEBYTECODE=1 python3 "$source/perf/report.py" explained "$1" >"$folder/out.0" 2>&1
}

# A page with one goal that is missed, and a row that gives this reason; none: no row.
page_that_says()
{
	printf '%s\n' '<!-- begin goals -->' '| head |' '|---|' \
		'| heap, from 1 MiB: time ÷ memcpy, worst | ≤ 1.3 × | 1.4 × (2 MiB in place) | **no** |' \
		'<!-- end goals -->' '<!-- begin missed -->' '| head |' '|---|'
	[ $# = 0 ] || echo "| heap, 2 MiB in place: time ÷ memcpy | ≤ 1.3 × | 1.4 × | 1 × | 1 × |$1| moves 80 |"
	echo '<!-- end missed -->'
}
page_that_says >"$folder/no-row"
page_that_says ' ' >"$folder/no-reason"
page_that_says ' only all of it; Ronde reaches it in 0 of 3 runs ' >"$folder/no-run"
page_that_says ' only all of it; Ronde reaches it in 1 of 3 runs ' >"$folder/one-run"
page_that_says ' the moves alone ' >"$folder/moves"
if ! explained "$docs/performance.md"; then
	not_ok "what misses each goal" "see above"
elif ! explained "$folder/one-run" || ! explained "$folder/moves"; then
	not_ok "what misses each goal" "a row with a reason is not seen"
elif explained "$folder/no-row" || explained "$folder/no-reason" || explained "$folder/no-run"; then
	not_ok "what misses each goal" "a row that gives no reason is taken for one"
else
	echo "ok what misses each goal"
fi

# A rank that is killed: the other one says so and ends.
address=ronde-perf-test-$$-killed
pids=()
rm -f "$folder"/out.*
for i in 0 1; do
	RONDE_RANK=$i RONDE_SIZE=2 RONDE_ADDRESS=$address \
		"$perf" allreduce -b 1M -e 1M -n 1000000 >"$folder/out.$i" 2>&1 </dev/null &
	pids+=($!)
done
for ((i = 0; i < 100; i++)); do
	! grep -qs "redop" "$folder/out.0" || break
	sleep 0.1
done
sleep 0.5
kill -9 "${pids[1]}"
for ((i = 0; i < 100; i++)); do
	kill -0 "${pids[0]}" 2>/dev/null || break
	sleep 0.1
done
if kill -9 "${pids[0]}" 2>/dev/null; then
	not_ok "a killed rank" "the other one is still there after 10 s"
elif wait "${pids[0]}"; then
	not_ok "a killed rank" "the other one ended well"
elif ! grep -q "ronde-perf\[rank 0\]: " "$folder/out.0"; then
	not_ok "a killed rank" "the other one did not say why it ended"
else
	echo "ok a killed rank"
fi
[ $failures = 0 ]
