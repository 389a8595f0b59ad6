#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Measures everything docs/performance.md shows, on this machine: builds, runs, and rewrites the
# tables and plots of that page. Takes about 10 minutes; leave the machine alone meanwhile: other
# load spoils every figure.
#
# usage: perf/run.sh [--quick] [--repeat N] [--only NAME]...
#   --quick     few rounds, once: to see that it works, not for figures
#   --repeat N  times every program is run (default 3); the page shows the median and the spread
#   --only NAME just this part: allreduce, others, latency, step, idle, overlap, crowded, hosts,
#               limits, training
# environment: RONDE_BUILD  build folder (default: build)
#              OUTPUT       where the data go (default: docs/performance); elsewhere than there
#                           the page is left alone
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=docs/setup-lib.sh
. docs/setup-lib.sh

build=${RONDE_BUILD:-build}
output=${OUTPUT:-docs/performance}
export PYTHONDONTWRITEBYTECODE=1
repeat=3
quick=()
epochs=()          # of the training that shows how well it trains: all
short=(--epochs=1) # of those that show how fast
only=

while [ $# -gt 0 ]; do
	case $1 in
	--quick)
		quick=(-n 5 -w 1)
		epochs=(--epochs=1)
		short=(--steps=30)
		repeat=1
		;;
	--repeat)
		repeat=${2:?--repeat needs a number}
		shift
		;;
	--only)
		only="$only ${2:?--only needs a name} "
		shift
		;;
	-h | --help)
		sed -n '3,15s/^# \{0,1\}//p' "$0"
		exit
		;;
	*)
		setup_die "unknown argument \"$1\"; see --help"
		;;
	esac
	shift
done

setup_install build data perf
setup_say "building in $build"
log=$(mktemp)
traces=$(mktemp -d)
trap 'rm -rf "$log" "$traces"' EXIT
setup_build "$build" --buildtype=release -Dexamples=enabled -Dtests=disabled >"$log" 2>&1 || {
	tail -n 40 "$log" >&2
	setup_die "the build failed; its last lines are above"
}
setup_mpirun
mkdir -p "$output"
perf=$build/perf/ronde-perf
limits=$build/perf/ronde-perf-limits
cores=$(nproc)
mpich=$build/perf/mpi-peer-mpich

# Whether a part is wanted; its first run starts its data anew.
part()
{
	[ -z "$only" ] || [[ $only == *" $1 "* ]] || return 1
	setup_say "$1, run $run of $repeat; load $(cut -d' ' -f1 /proc/loadavg)"
	[ "$run" != 1 ] || rm -f "$output/$1".csv "$output/$1".txt
}

# ranks N COMMAND...: under Open MPI; bound to cores where there is one for each rank.
ranks()
{
	local n=$1 where=(--bind-to core)
	shift
	if [ "$n" -gt "$cores" ]; then
		where=(--oversubscribe)
	fi
	"$mpirun" "${where[@]}" -np "$n" "$@" </dev/null
}

# hosts SHAPE COMMAND...: on hosts of namespaces, where such can be made.
hosts()
{
	local shape=$1 status=0
	shift
	tests/cluster/cluster run --hosts "$shape" -- "$@" </dev/null || status=$?
	if [ $status = 77 ]; then
		setup_say "no hosts can be made here: they are left out"
		return
	fi
	return $status
}

# The other MPI, in a program of its own: two of them can't live in one process.
build_mpich_peer()
{
	if ! { command -v mpicc.mpich && command -v mpirun.mpich; } >/dev/null; then
		setup_say "no MPICH here (packages mpich, libmpich-dev): it is left out"
		return
	fi
	perf/mpich-peer.sh "$mpich"
}

# mpich N PART ROUNDS BYTES...: appends to a part's data.
mpich()
{
	local n=$1 part=$2
	shift 2
	[ -x "$mpich" ] || return 0
	mpirun.mpich -np "$n" "$mpich" "$@" </dev/null >>"$output/$part.csv"
}

# train N OPTION...: the example, on N ranks.
train()
{
	local n=$1
	shift
	OPENBLAS_NUM_THREADS=1 ranks "$n" "$build/docs/examples/fashion_mnist" "$@"
}

# Two trainings of one rank that know nothing of each other, at once, each with the share of a batch
# that one of two ranks has: together the most images/s that two ranks could come to here.
apart()
{
	local core pids=()
	for core in 0 1; do
		OPENBLAS_NUM_THREADS=1 taskset -c $core "$build/docs/examples/fashion_mnist" \
			--batch=64 "$@" </dev/null &
		pids+=($!)
	done
	wait "${pids[@]}"
}

# Images/s of a short training on 1 rank, on 2, and of two apart, one after the other; and for how
# much of its time each of the 2 waited.
rates()
{
	local who
	for who in 1 2 apart; do
		if [ $who = apart ]; then
			apart "${short[@]}"
		else
			train $who "${short[@]}"
		fi >"$log" 2>&1 || {
			cat "$log" >&2
			setup_die "the training failed"
		}
		awk -v who=$who '$1 == "images/s" { sum += $2 }
			$1 == "communication" && who == 2 { print "wait", who, $2, $4 }
			END { print "rate", who, sum }' "$log" |
			tee -a "$output/training.txt"
	done
}

# Processor time that was wanted, and what of it the host gave to others (proc(5): steal).
processor_time()
{
	awk '$1 == "cpu" { print $2 + $3 + $4 + $7 + $8 + $9, $9 }' /proc/stat
}

# A part that is measured again leaves what the page says of the others.
if [ -z "$only" ]; then
	python3 perf/report.py machine "$mpirun" >"$output/machine.txt"
else
	read -ra parts <<<"$only"
	echo "- measured again: ${parts[*]}; $(python3 perf/report.py machine "$mpirun" | tail -n 1 | sed 's/^- //')" \
		>>"$output/machine.txt"
fi
read -r wanted stolen <<<"$(processor_time)"
build_mpich_peer

for ((run = 1; run <= repeat; run++)); do
	if part allreduce; then
		ranks 2 "$perf" allreduce --compare -b 1K -e 16K -f 4 "${quick[@]}" \
			--csv "$output/allreduce.csv"
		# Where the goals begin, beside what it is made of.
		ranks 2 "$limits" allreduce --compare -b 64K -e 64M -f 4 "${quick[@]}" \
			--csv "$output/allreduce.csv"
		mpich 2 allreduce 30 1024 4096 16384 65536 262144 1048576 4194304 16777216 67108864
	fi
	if part others; then
		for operation in broadcast allgather; do
			ranks 2 "$perf" $operation --compare -b 4K -e 64M -f 16 "${quick[@]}" \
				--csv "$output/others.csv"
		done
		ranks 2 "$perf" barrier --compare --latency "${quick[@]}" --csv "$output/others.csv"
	fi
	if part latency; then
		ranks 2 "$limits" allreduce --compare --latency -b 32 -e 32 "${quick[@]}" \
			--csv "$output/latency.csv"
	fi
	if part step; then
		ranks 2 "$perf" step --compare --timeline "$traces/step.%r.json" --group "${quick[@]}" \
			--csv "$output/step.csv"
	fi
	if part idle; then
		ranks 2 "$perf" idle --csv "$output/idle.csv"
	fi
	if part overlap; then
		ranks 2 "$perf" overlap | tee -a "$output/overlap.txt" || true
	fi
	if part crowded; then
		ranks 4 "$perf" allreduce --compare --latency -b 32 -e 32 "${quick[@]}" \
			--csv "$output/crowded.csv"
		ranks 4 "$perf" allreduce --compare -b 16M -e 16M "${quick[@]}" \
			--csv "$output/crowded.csv"
		mpich 4 crowded 30 32 16777216
	fi
	if part hosts; then
		for shape in 2x1 2x2; do
			hosts $shape "$(realpath "$perf")" allreduce --compare --memory=ordinary --inplace \
				-b 8 -e 16M -f 8 "${quick[@]}" --csv "$(realpath "$output")/hosts.csv"
		done
	fi
	if part limits; then
		"$build/perf/ronde-perf-signal" | tee -a "$output/limits.txt"
	fi
	# How well it trains does not change from run to run, how fast it does.
	if part training; then
		if [ "$run" = 1 ]; then
			start=$SECONDS
			train 2 "${epochs[@]}" | grep -v '^epoch.*%' | tee -a "$output/training.txt"
			echo "whole run      $((SECONDS - start)) s, with loading and evaluation" |
				tee -a "$output/training.txt"
		fi
		rates
	fi
done

processor_time | awk -v wanted="$wanted" -v stolen="$stolen" \
	'{ printf "- the host gave others %.0f %% of the processor time wanted meanwhile\n",
	   100 * ($2 - stolen) / ($1 - wanted) }' >>"$output/machine.txt"
if [ "$output" = docs/performance ]; then
	setup_say "writing docs/performance.md"
	python3 perf/report.py page "$output" docs/performance.md
fi
python3 perf/report.py plots "$output"
