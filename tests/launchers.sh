#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Real launchers start a tiny program (tests/world.c): it sees the whole job, or is told what to do;
# never n worlds of one rank, and never a hang.
#
# usage: tests/launchers.sh BUILD-FOLDER
set -euo pipefail

build=$(realpath "$1")
source=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
world=$build/tests/world
world_mpi=$build/tests/world-mpi
module=$build/collectives/mpi/ronde_mpi.so
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
out=$folder/out

skip()
{
	echo "$1"
	exit 77
}

. "$source/docs/setup-lib.sh"
setup_mpirun

# Which mpirun is whose: plain mpirun is either's on Debian.
find_launcher()
{
	local candidate
	for candidate in "$1" mpirun; do
		case $("$candidate" --version 2>/dev/null || true) in
		*"$2"*)
			echo "$candidate"
			return
			;;
		esac
	done
}

openmpi=$(find_launcher mpirun.openmpi 'Open MPI')
mpich=$(find_launcher mpirun.mpich HYDRA)
[ -n "$openmpi" ] || skip "mpirun is there, but not Open MPI's (Debian package openmpi-bin)"
[ -x "$world" ] || skip "$world is not built: it needs -Dtests=enabled"
[ -e "$module" ] || skip "the MPI module is not built (Debian package libopenmpi-dev)"
readelf -d "$module" | grep -q 'NEEDED.*libmpi\.so\.40' ||
	skip "the MPI module of $build is not built for Open MPI"
unset RONDE_RANK RONDE_SIZE RONDE_ADDRESS RONDE_MPI_MODULE

# try STATUS COMMAND...: runs it with a time limit; its output goes to $out. STATUS: 0, or "error".
try()
{
	local wanted=$1 status=0
	shift
	timeout 60 "$@" >"$out" 2>&1 </dev/null || status=$?
	[ "$status" != 124 ] || {
		reason="hangs: $*"
		return 1
	}
	if [ "$wanted" = 0 ] && [ "$status" != 0 ] || [ "$wanted" = error ] && [ "$status" = 0 ]; then
		reason="exit status $status: $*"
		return 1
	fi
}

# says COUNT TEXT: so many lines of the output hold the text.
says()
{
	local found
	found=$(grep -cF -- "$2" "$out" || true)
	[ "$found" = "$1" ] || {
		reason="$found lines with \"$2\", not $1"
		return 1
	}
}

# check NAME FUNCTION [ARGUMENTS]
check()
{
	local name=$1
	shift
	reason=
	if "$@"; then
		echo "ok $name"
	else
		tail -n 20 "$out"
		echo "not ok $name - $reason"
	fi
}

# A world of n ranks on one node: every rank prints it.
world_of()
{
	local n=$1 rank zeros
	shift
	zeros=$(printf ' 0%.0s' $(seq "$n"))
	try 0 "$@" || return 1
	for ((rank = 0; rank < n; rank++)); do
		says 1 "rank $rank of $n by mpi, nodes$zeros" || return 1
	done
}

alone()
{
	try 0 "$@" && says 1 "rank 0 of 1 by none, nodes 0"
}

refused()
{
	local count=$1 text=$2
	shift 2
	try error "$@" && says "$count" "$text" && says 0 " of 1 by "
}

closes_in_finalize()
{
	world_of 2 "$openmpi" -np 2 "$world_mpi" --in-finalize &&
		says 1 "rank 0 closes in MPI_Finalize" && says 1 "rank 1 closes in MPI_Finalize"
}

# mpirun ends a job when a rank leaves early: no rank may wait longer than that takes.
leaves()
{
	try error "$openmpi" --oversubscribe -np 3 "$world" --leave 1 --timeout 20
}

# Told to let the others live, it does, and they say who is gone.
leaves_others()
{
	try any "$openmpi" --enable-recovery --oversubscribe -np 3 "$world" --leave 1 --timeout 2 &&
		says 1 "rank 0: rank 1 did not come to the exchange within 2 s" &&
		says 1 "rank 2: rank 1 did not come to the exchange within 2 s"
}

# The program's MPI_Finalize() is where the whole runtime ends, with operations in flight.
running_in_finalize()
{
	local rank
	try 0 "$@" -np 3 "$build/tests/ends-mpi" finalize || return 1
	for rank in 0 1 2; do
		says 1 "rank $rank: MPI_Finalize ended it" || return 1
	done
}

# exit(0) of a rank whose runtime runs: it waits for nobody, and the others are told who it was.
running_leaves()
{
	try any "$@" --enable-recovery --oversubscribe -np 3 "$build/tests/ends" leave 1 &&
		says 1 "rank 0: was told that rank 1 left" &&
		says 1 "rank 2: was told that rank 1 left"
}

# ronde-perf beside the raw MPI: its column, and its rows of the data.
compares()
{
	local data=$folder/perf.csv
	try 0 "$openmpi" --oversubscribe -np 2 "$build/perf/ronde-perf" allreduce --compare -b 2K \
		-e 4K -n 3 --csv "$data" || return 1
	says 1 "# wrong elements: 0;" || return 1
	# Two sizes, two kinds of memory; the last columns of each half are MPI's time and ratio.
	[ "$(awk '$3 == "float32" && $5 == -1 && $13 > 0 && $14 > 0 && $21 > 0 && $22 > 0' "$out" |
		wc -l)" = 4 ] || {
		reason="not 4 rows with figures of MPI"
		return 1
	}
	# In place and out of place.
	[ "$(awk -F, '$2 == "mpi" && $5 == 2 && $10 > 0 && $17 == 0' "$data" | wc -l)" = 8 ] || {
		reason="not 8 rows of MPI in the data"
		return 1
	}
}

copied_world()
{
	cp "$world" "$folder/world"
	refused 2 "but Ronde's MPI module is missing. Looked for $folder/ronde/ronde_mpi.so" \
		"$openmpi" -np 2 "$folder/world" && says 2 "libopenmpi-dev" && says 2 "-Dmpi="
}

# The whole runtime, not only its bootstrap.
reinit()
{
	try 0 "$@" -np 2 "$build/tests/reinit" 40 && says 2 "40 cycles"
}

# A program gives ronde_init_mpi() several communicators, one after the other and at once.
communicators()
{
	try 0 "$@" && says 4 ": refused: NULL, intercommunicator" && says 1 "rank 3: 0 of 3" &&
		says 1 "rank 1: 1 of 3" && says 1 "rank 0: 2 of 3" && says 1 "rank 2: not in it" &&
		says 4 ": halves, whole, halves, self"
}

# fabric N BODY COMMAND...: a body that every fabric must pass, over MPI on n ranks.
fabric()
{
	local n=$1 body=$2
	shift 2
	try 0 "$@" && says "$n" "of $n: $body over mpi"
}

# Two jobs of two ranks in one program.
fabric_part()
{
	try 0 "$@" && says 2 "rank 0 of 2: part over mpi" && says 2 "rank 1 of 2: part over mpi"
}

# The first rank that says so may end the others before they do.
few_tags()
{
	try error "$openmpi" --oversubscribe -np 2 "$fabric_mpi" few-tags || return 1
	grep -qF "this MPI has tags 0 to 32767 (MPI_TAG_UB), Ronde needs 0 to 8388607" "$out" || {
		reason="nobody says that there are too few tags"
		return 1
	}
}

# The benchmark of the fabric works: ten sizes there and back, nine both ways, eight numbers of receives.
perf_fabric()
{
	try 0 "$@" 3 && says 10 "ping-pong " && says 9 "both ways " && says 8 " receives progress() "
}

# The raw MPICH beside which Ronde is measured.
mpich_peer()
{
	local peer=$folder/mpi-peer
	"$source/perf/mpich-peer.sh" "$peer" >"$out" 2>&1 || {
		reason="it does not compile"
		return 1
	}
	try 0 "$mpich" -np 2 "$peer" 3 2048 4096 || return 1
	[ "$(grep -c '^allreduce,MPICH.*,2,\(2048\|4096\),' "$out")" = 4 ] || {
		reason="not 4 rows of MPICH"
		return 1
	}
}

text_file()
{
	echo "no module" >"$folder/text.so"
	refused 2 "Ronde's MPI module $folder/text.so cannot be loaded" \
		env RONDE_MPI_MODULE="$folder/text.so" "$openmpi" -np 2 "$world"
}

fabric_program=$build/tests/fabric
fabric_mpi=$build/tests/fabric-mpi
# Ranks that wait for each other let each other run.
loose=("$openmpi" --oversubscribe --bind-to none --mca mpi_yield_when_idle 1)

check alone alone "$world"
check mpirun-1 alone "$openmpi" -np 1 "$world"
check mpirun-2 world_of 2 "$openmpi" --oversubscribe -np 2 "$world"
check mpirun-4 world_of 4 "$openmpi" --oversubscribe -np 4 "$world"
check 20-times world_of 2 "$openmpi" --oversubscribe -np 2 "$world" --again 20
check reinit reinit "$openmpi" --oversubscribe
check other-thread world_of 2 "$openmpi" --oversubscribe -np 2 "$world" --thread
check singleton world_of 1 "$world_mpi" --mpi-init
check linked-alone alone "$world_mpi"
check linked world_of 2 "$openmpi" --oversubscribe -np 2 "$world_mpi"
check program-init world_of 2 "$openmpi" --oversubscribe -np 2 "$world_mpi" --mpi-init --again 3
check program-init-single world_of 2 "$openmpi" --oversubscribe -np 2 "$world_mpi" --mpi-init \
	--level single
check wrong-thread refused 2 "MPI_THREAD_FUNNELED" \
	"$openmpi" --oversubscribe -np 2 "$world_mpi" --mpi-init --level funneled --thread
check communicators communicators "$openmpi" --oversubscribe -np 4 "$build/tests/communicators"
check communicators-unix-variables communicators env RONDE_RANK=0 RONDE_SIZE=2 RONDE_ADDRESS=nowhere \
	"$openmpi" --oversubscribe -np 4 "$build/tests/communicators"
check in-finalize closes_in_finalize
check running-in-finalize running_in_finalize "$openmpi" --oversubscribe
check local-mpi world_of 1 "$world" --load libmpi.so.40
check leaves leaves
check leaves-others leaves_others
check running-leaves running_leaves "$openmpi"
check compares compares
for body in random flood threads errors last again; do
	check fabric-$body fabric 3 $body "${loose[@]}" -np 3 "$fabric_program" $body
done
check fabric-4 fabric 4 random "${loose[@]}" -np 4 "$fabric_program" random 500
check fabric-alone refused 1 'find each other by "none" are all on one machine' "$fabric_program" random
check fabric-tcp fabric 3 random "${loose[@]}" --mca btl tcp,self -np 3 "$fabric_program" random
check fabric-tcp-last fabric 3 last "${loose[@]}" --mca btl tcp,self -np 3 "$fabric_program" last
check fabric-huge fabric 2 huge "${loose[@]}" -np 2 "$fabric_program" huge 1
check fabric-tcp-huge fabric 2 huge "${loose[@]}" --mca btl tcp,self -np 2 "$fabric_program" huge 1
check fabric-busy fabric 2 busy "${loose[@]}" -np 2 "$fabric_mpi" busy
check fabric-part fabric_part "${loose[@]}" -np 4 "$fabric_mpi" part
check fabric-funneled fabric 2 funneled "${loose[@]}" -np 2 "$fabric_mpi" funneled
for n in 2 3; do
	check fabric-faults-$n fabric $n faults "${loose[@]}" -np $n "$fabric_mpi" faults
done
check fabric-few-tags few_tags
check perf-fabric perf_fabric "${loose[@]}" -np 2 "$build/perf/ronde-perf-fabric"
check no-module copied_world
check wrong-path refused 2 'RONDE_MPI_MODULE is "/nonexistent", which cannot be read' \
	env RONDE_MPI_MODULE=/nonexistent "$openmpi" --oversubscribe -np 2 "$world"
check no-object text_file
check no-table refused 2 "is no MPI module of Ronde" \
	env RONDE_MPI_MODULE="$build/libronde.so" "$openmpi" --oversubscribe -np 2 "$world"
check other-installation refused 1 "but MPI (Open MPI" \
	env OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=2 "$world"
check plain-srun refused 1 "srun --mpi=pmix -n 2 PROGRAM" \
	env SLURM_PROCID=0 SLURM_STEP_NUM_TASKS=2 "$world"
check sbatch alone env SLURM_JOB_ID=1 SLURM_NTASKS=2 SLURM_PROCID=0 "$world"

if [ -z "$mpich" ]; then
	echo "skip mpich - MPICH's mpirun is missing (Debian package mpich)"
	exit
fi
check mpich-mpirun refused 2 "mpirun.openmpi -np 2 PROGRAM" "$mpich" -np 2 "$world"
check mpich-mpirun-1 alone "$mpich" -np 1 "$world"
if ! pkg-config --exists mpich; then
	echo "skip mpich-module - MPICH's headers are missing (Debian package libmpich-dev)"
	exit
fi
check other-local-mpi refused 1 "two MPIs cannot live in one process" "$world" --load libmpich.so.12

# A module for MPICH, as -Dmpi=mpich builds it.
other=$build/mpich
if ! { [ -e "$other/build.ninja" ] || "${MESON:-meson}" setup "$other" "$source" -Dmpi=mpich; } \
	>"$out" 2>&1 || ! ninja -C "$other" collectives/mpi/ronde_mpi.so >"$out" 2>&1; then
	tail -n 20 "$out"
	echo "not ok mpich-build - -Dmpi=mpich does not build"
	exit 1
fi
for_mpich=$other/collectives/mpi/ronde_mpi.so
check mpich-module world_of 2 env RONDE_MPI_MODULE="$for_mpich" "$mpich" -np 2 "$world"
check mpich-20-times world_of 2 env RONDE_MPI_MODULE="$for_mpich" "$mpich" -np 2 "$world" --again 20
check mpich-reinit reinit env RONDE_MPI_MODULE="$for_mpich" "$mpich"
for body in random flood threads errors last again; do
	check mpich-fabric-$body fabric 2 $body env RONDE_MPI_MODULE="$for_mpich" "$mpich" -np 2 \
		"$fabric_program" $body
done
check mpich-fabric-huge fabric 2 huge env RONDE_MPI_MODULE="$for_mpich" "$mpich" -np 2 \
	"$fabric_program" huge 1
check mpich-peer mpich_peer
check mpich-module-openmpi refused 2 "mpirun.mpich -np 2 PROGRAM" \
	env RONDE_MPI_MODULE="$for_mpich" "$openmpi" --oversubscribe -np 2 "$world"
check two-mpis refused 2 "two MPIs cannot live in one process" \
	env RONDE_MPI_MODULE="$for_mpich" "$openmpi" --oversubscribe -np 2 "$world_mpi" --mpi-init
# shellcheck disable=SC2046  # words are wanted
if gcc -std=c99 -Wall -Wextra -Werror -I"$source/bindings/c" -o "$folder/communicators" "$source/tests/communicators.c" \
	$(pkg-config --cflags --libs mpich) -L"$build" -lronde -Wl,-rpath,"$build" >"$out" 2>&1; then
	check mpich-communicators communicators env RONDE_MPI_MODULE="$for_mpich" "$mpich" -np 4 \
		"$folder/communicators"
	check wrong-mpi refused 1 "two MPIs cannot live in one process" "$folder/communicators" --wrong-mpi
else
	tail -n 20 "$out"
	echo "not ok mpich-communicators - it does not compile"
fi
