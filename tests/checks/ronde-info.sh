#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ronde-info: its JSON is JSON and has everything, its exit status is what the manual says, and it
# says plainly what is wrong. The checks of the machine have suites of their own, check_info and check_info_system.
set -euo pipefail

info=$BUILD/bindings/cli/ronde-info
out=$(mktemp)
trap 'rm -f "$out"' EXIT
unset "${!RONDE_@}" "${!HOROVOD_@}"
if [ "$(id -u)" = 0 ]; then
	export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi

# try NAME STATUS TEXT COMMAND...: ends with this status ("error": any but 0) and prints the text.
try()
{
	local name=$1 wanted=$2 text=$3 status=0
	shift 3
	timeout 60 "$@" >"$out" 2>&1 </dev/null || status=$?
	# timeout's own status is no error of the command.
	[ "$wanted" != error ] || [ $status = 0 ] || [ $status = 124 ] || status=error
	if [ $status = "$wanted" ] && grep -qF -- "$text" "$out"; then
		echo "ok $name"
	else
		sed 's/^/    | /' "$out"
		echo "not ok $name - status $status, wanted $wanted and \"$text\""
	fi
}

# json NAME EXPRESSION COMMAND...: prints JSON, of which the Python expression over `d` is true.
json()
{
	local name=$1 expression=$2
	shift 2
	timeout 60 "$@" >"$out" 2>"$out.errors" </dev/null || true
	cat "$out.errors" >&2
	rm -f "$out.errors"
	if python3 -c '
import json, sys
d = json.load(open(sys.argv[1]))
sys.exit(not eval("(" + sys.argv[2] + ")"))' "$out" "$expression"; then
		echo "ok $name"
	else
		head -c 4000 "$out"
		echo "not ok $name - not true: ${expression//$'\n'/ }"
	fi
}

json json-whole 'list(d) == ["build", "processor", "mpi", "config", "algorithms", "checks", "job", "problems"]' \
	"$info" --json
json json-kinds 'all(set(c) == {"state", "name", "found", "advice"} for c in d["checks"])
	and len({c["name"] for c in d["checks"]}) == len(d["checks"])
	and d["job"]["size"] == len(d["job"]["ranks"]) == 1
	and d["processor"]["kernels_in_use"] in d["processor"]["kernels"].split(", ")' "$info" -j
json json-section 'list(d) == ["algorithms", "problems"] and all(set(a) == {"name", "help"} for a in d["algorithms"])' \
	"$info" -j algorithms
json config-default '{c["origin"] for c in d["config"]["settings"]} == {"default"}
	and all(c["value"] == c["default"] or c["name"] == "chunk_bytes" for c in d["config"]["settings"])' \
	"$info" -j config
json config-origin '{c["name"]: (c["value"], c["origin"]) for c in d["config"]["settings"] if c["origin"] != "default"}
	== {"lanes": ("3", "RONDE_LANES"), "cache_capacity": ("7", "HOROVOD_CACHE_CAPACITY")}' \
	env RONDE_LANES=3 HOROVOD_CACHE_CAPACITY=7 "$info" -j config
json config-hostile '[c["value"] for c in d["config"]["settings"] if c["name"] == "log_file"] == ["a\"\n\\\u00e9"]' \
	env RONDE_LOG_FILE=$'a"\n\\\xc3\xa9' "$info" -j config
json config-invalid 'd["problems"] == 1 and "allowed is a whole number" in
	[c["error"] for c in d["config"]["settings"] if c["name"] == "lanes"][0]' env RONDE_LANES=x "$info" -j config
json config-together 'd["problems"] == 1 and "RONDE_CARRY_BYTES" in d["config"]["error"]' \
	env RONDE_CARRY_BYTES=1M "$info" -j config
try invalid-status 1 'RONDE_LANES is "x": allowed is a whole number from 1 to 64' \
	env RONDE_LANES=x "$info" config
try kernels-unknown 1 'there are no reduction kernels called "neon"' env RONDE_ISA=neon "$info" processor
try kernels-capped 0 'kernels in use     c' env RONDE_ISA=c "$info" processor
try variable-mistyped 0 'did you mean RONDE_LANES?' env RONDE_LANE=1 "$info" checks
try no-memfd 0 'shared memory is made in /dev/shm' env RONDE_TEST_NO_MEMFD=1 "$info" checks
try no-pidfd 0 'seen by a pipe' env RONDE_TEST_NO_PIDFD=1 "$info" checks

try section-unknown 64 'there is no section "machine"' "$info" machine
try option-unknown 64 'unrecognized option' "$info" --yaml
try help 0 'Exit status: 0 if nothing' "$info" --help
try version 0 "ronde-info $(sed -n "s/^ *version: '\(.*\)',/\1/p" meson.build | head -n 1)" "$info" --version
# shellcheck disable=SC2016  # the inner shell expands it
try full-disk 1 'standard output' bash -c '"$0" >/dev/full' "$info"

try module-missing 1 'RONDE_MPI_MODULE is "/nowhere"' env RONDE_MPI_MODULE=/nowhere "$info" mpi
try module-wrong 1 'cannot be loaded' env RONDE_MPI_MODULE="$info" "$info" mpi
try rank-alone 1 'RONDE_RANK is set and RONDE_SIZE is not' env RONDE_RANK=0 "$info" job

# Two ranks without a launcher: rank 0 prints, for both.
RONDE_RANK=1 RONDE_SIZE=2 RONDE_ADDRESS=ronde-info-$$ timeout 60 "$info" -j >"$out.1" 2>&1 &
json job-two 'd["job"]["size"] == 2 and d["job"]["nodes"] == 1 and d["job"]["bootstrap"] == "unix"
	and [r["local_rank"] for r in d["job"]["ranks"]] == [0, 1]' \
	env RONDE_RANK=0 RONDE_SIZE=2 RONDE_ADDRESS=ronde-info-$$ "$info" -j
if wait $! && [ ! -s "$out.1" ]; then
	echo "ok job-silent"
else
	echo "not ok job-silent - rank 1 prints, or fails: $(head -n 3 "$out.1")"
fi
rm -f "$out.1"

# Rank 1 has address space for its own heap, not for another: it is a node, and the page says why.
export RONDE_HEAP_RESERVE_BYTES=8G
# shellcheck disable=SC2016 # $0 is the inner shell's
RONDE_RANK=1 RONDE_SIZE=2 RONDE_ADDRESS=ronde-info-apart-$$ timeout 60 \
	bash -c 'ulimit -v 12582912; exec "$0" job' "$info" >/dev/null 2>&1 &
try job-apart 0 'shares no memory: cannot map the heap of rank 0: Cannot allocate memory' \
	env RONDE_RANK=0 RONDE_SIZE=2 RONDE_ADDRESS=ronde-info-apart-$$ "$info" job
wait $! || echo "not ok job-apart-rank - rank 1 failed"
# shellcheck disable=SC2016 # $0 is the inner shell's
RONDE_RANK=1 RONDE_SIZE=2 RONDE_ADDRESS=ronde-info-nodes-$$ timeout 60 \
	bash -c 'ulimit -v 12582912; exec "$0" -j job' "$info" >/dev/null 2>&1 &
json job-nodes 'd["job"]["nodes"] == 2 and [r["node"] for r in d["job"]["ranks"]] == [0, 1]
	and d["job"]["ranks"][0]["apart"] is None
	and d["job"]["ranks"][1]["apart"].startswith("cannot map the heap of rank 0")' \
	env RONDE_RANK=0 RONDE_SIZE=2 RONDE_ADDRESS=ronde-info-nodes-$$ "$info" -j job
wait $! || echo "not ok job-nodes-rank - rank 1 failed"
unset RONDE_HEAP_RESERVE_BYTES

module=$BUILD/collectives/mpi/ronde_mpi.so
if [ ! -e "$module" ] || ! readelf -d "$module" | grep -q 'NEEDED.*libmpi\.so\.40'; then
	echo "skip mpirun - the MPI module of $BUILD is not built for Open MPI"
elif [[ $(mpirun --version 2>/dev/null || true) != *"Open MPI"* ]]; then
	echo "skip mpirun - mpirun is not Open MPI's"
else
	json mpirun 'd["job"]["size"] == 2 and d["job"]["bootstrap"] == "mpi" and d["problems"] == 0
		and d["mpi"]["thread_level"] == "MPI_THREAD_MULTIPLE" and d["mpi"]["error"] is None' \
		mpirun --oversubscribe -np 2 "$info" --json
	try thread-level 0 'MPI_THREAD_MULTIPLE' "$info" mpi
	if command -v mpirun.mpich >/dev/null; then
		# Which status a launcher gives that sees one rank fail and ends the other is its affair.
		try launcher-wrong error 'which does not understand that launcher' mpirun.mpich -np 2 "$info" job
	else
		echo "skip launcher-wrong - mpirun.mpich is missing (Debian package mpich)"
	fi
fi

# ---- topology: on machines that are only described ----

picture=$(mktemp --suffix=.svg)
trap 'rm -f "$out" "$picture"' EXIT

# rendered NAME RANKS: the picture is XML, with so many cores that have ranks.
rendered()
{
	if python3 -c '
import sys, xml.dom.minidom as xml
boxes = xml.parse(sys.argv[1]).getElementsByTagName("rect")
sys.exit(sum(b.getAttribute("fill") == "#f5c26b" for b in boxes) != int(sys.argv[2]))' "$picture" "$2"; then
		echo "ok $1"
	else
		head -c 2000 "$picture"
		echo "not ok $1 - not XML, or not $2 cores with ranks"
	fi
}

try topology-here 0 'node 0 on' "$info" --topology
try topology-alone 0 'core 0: rank 0' env RONDE_TOPOLOGY='pack:2 core:2 pu:1' "$info" --topology="$picture"
rendered topology-picture 1
try topology-wrong 1 'RONDE_TOPOLOGY is "pack:x", which describes no machine' \
	env RONDE_TOPOLOGY=pack:x "$info" --topology
try topology-nowhere 1 'ronde-info: /nowhere/x.svg: No such file or directory' "$info" --topology=/nowhere/x.svg
if command -v mpirun >/dev/null; then
	try topology-job 0 'L3 cache 1: rank 2' env RONDE_TOPOLOGY='pack:2 numa:2 l3:1 core:4 pu:1' \
		RONDE_PLACEMENT=0,1,4-7,15 mpirun --oversubscribe -np 4 "$info" --topology="$picture"
	rendered topology-job-picture 3
	json topology-json '[p["core"] for p in d["topology"]["places"]] == [0, 1, None, 15]
		and [p["package"] for p in d["topology"]["places"]] == [0, 0, 0, 1]' \
		env RONDE_TOPOLOGY='pack:2 numa:2 l3:1 core:4 pu:1' RONDE_PLACEMENT=0,1,4-7,15 \
		mpirun --oversubscribe -np 4 "$info" --json topology
	# Two ranks on one core are warned of when they start.
	try topology-crowded 0 'ranks 0 and 2 both have core 1 only' env RONDE_TOPOLOGY='pack:1 core:4 pu:1' \
		RONDE_PLACEMENT=1,2,1 mpirun --oversubscribe -np 3 "$BUILD/perf/ronde-perf" allreduce -b 4 -e 4 -n 10
fi

# The manual names every section and every exit status.
missing=$("$info" -j | python3 -c '
import json, sys
page = open("docs/ronde-info.1").read()
print(*[s for s in json.load(sys.stdin) if ".It Cm " + s not in page and s != "problems"])')
if [ -z "$missing" ]; then
	echo "ok manual"
else
	echo "not ok manual - docs/ronde-info.1 does not tell of: $missing"
fi
if command -v mandoc >/dev/null; then
	if mandoc -T lint -W warning docs/ronde-info.1; then
		echo "ok manual-format"
	else
		echo "not ok manual-format - see above"
	fi
else
	echo "skip manual-format - mandoc is missing"
fi
