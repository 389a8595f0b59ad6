#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The test cluster (tests/cluster/cluster) is what it says: hosts of their own, a link that can be cut,
# bytes that are counted, and nothing left behind; and Ronde's programs started on it.
#
# usage: tests/cluster.sh BUILD-FOLDER
# shellcheck disable=SC2016  # other shells see the dollars
set -euo pipefail

build=$(realpath "$1")
source=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
export CLUSTER=$source/tests/cluster/cluster
world=$build/tests/world
folder=$(mktemp -d)
export CLUSTER_TEST=$folder # by which this test knows its own processes from another's
export TMPDIR=$folder/tmp
mkdir "$TMPDIR"
trap 'rm -rf "$folder"' EXIT
out=$folder/out
. "$source/docs/setup-lib.sh"
failures=0

not_ok()
{
	tail -n 30 "$out" || true
	echo "not ok $1 - $2"
	failures=$((failures + 1))
}

# limited COMMAND...: with an end, its output in $out. "on SHAPE SCRIPT" is a shell within such a cluster.
limited()
{
	if [ "$1" = on ]; then
		set -- "$CLUSTER" start --hosts "$2" -- bash -euo pipefail -c "$3"
	fi
	timeout --kill-after=5 60 "$@" >"$out" 2>&1 </dev/null
}

# says NAME TEXT COMMAND...: it ends with status 0 and prints TEXT (an extended pattern of whole lines).
says()
{
	local name=$1 text=$2 status=0
	shift 2
	limited "$@" || status=$?
	if [ $status != 0 ]; then
		not_ok "$name" "ended with status $status"
	elif ! grep -qxE "$text" "$out"; then
		not_ok "$name" "does not print \"$text\""
	else
		echo "ok $name"
	fi
}

# refuses NAME STATUS TEXT COMMAND...: it ends with that status and prints TEXT in a line.
refuses()
{
	local name=$1 wanted=$2 text=$3 status=0
	shift 3
	limited "$@" || status=$?
	if [ $status != "$wanted" ]; then
		not_ok "$name" "ended with status $status, not $wanted"
	elif [ -n "$text" ] && ! grep -qE "$text" "$out"; then
		not_ok "$name" "does not print \"$text\""
	else
		echo "ok $name"
	fi
}

# Whether hosts can be made is found by making one.
status=0
"$CLUSTER" start --hosts 1x1 -- true >"$out" 2>&1 || status=$?
if [ $status = 77 ]; then
	tail -n 1 "$out"
	exit 77
fi

# ---- hosts ----

says names "host1 host1 10.77.0.2" on 2x1 \
	'echo "$("$CLUSTER" exec host1 uname -n) $("$CLUSTER" exec host0 getent hosts host1 | awk "{ print \$2, \$1 }")"'
says shapes "host0 10.77.0.1 2 host1 10.77.0.2 1 " on 2+1 '"$CLUSTER" hosts | tr "\n" " "; echo'
says apart "not the same" on 2x1 '
	"$CLUSTER" exec host0 sh -c "echo x >/dev/shm/mine"
	"$CLUSTER" exec host1 test ! -e /dev/shm/mine && echo "not the same"'
says arguments 'a b \$HOME "c" \*' on 1x1 '"$CLUSTER" exec host0 printf "%s\n" "a b \$HOME \"c\" *"'
refuses status 7 "" on 1x1 'exit 7'
refuses status_of_a_host 9 "" on 1x1 '"$CLUSTER" exec host0 sh -c "exit 9"'
refuses no_such_host 64 'no host "host5"; there are: host0 host1' on 2x1 '"$CLUSTER" exec host5 true'
refuses no_such_shape 64 "a shape is" "$CLUSTER" start --hosts 2by2 -- true
refuses no_cluster 64 "works within the command" "$CLUSTER" cut host0

# ---- links ----

# Ten megabytes through a socket, and what the counters make of them.
export SEND='import socket, sys
s = socket.create_connection(("host1", 4000), timeout=5)
s.settimeout(5)
try:
    for _ in range(int(sys.argv[1])):
        s.sendall(bytes(1000000))
    s.shutdown(socket.SHUT_WR)
    print("answered", s.recv(100).decode())
except OSError: # none in time, or no route to the host any more
    print("no answer")'
export RECEIVE='import socket
l = socket.create_server(("", 4000))
print("listening", flush=True)
c, _ = l.accept()
n = 0
while (b := c.recv(1 << 20)):
    n += len(b)
c.sendall(str(n).encode())'
export LISTEN='"$CLUSTER" exec host1 python3 -c "$RECEIVE" >"$RONDE_CLUSTER/log" &
	until grep -qs listening "$RONDE_CLUSTER/log"; do sleep 0.05; done'

says bytes "answered 10000000 counted" on 2x1 '
	eval "$LISTEN"
	read -r before _ < <("$CLUSTER" bytes host0)
	answer=$("$CLUSTER" exec host0 python3 -c "$SEND" 10)
	read -r after _ < <("$CLUSTER" bytes host0)
	read -r _ received < <("$CLUSTER" bytes host1)
	sent=$((after - before))
	[ $sent -ge 10000000 ] && [ $sent -le 10500000 ] && [ $received -ge 10000000 ] &&
		echo "$answer counted" || echo "$answer; sent $sent, received $received"'
says cut "no answer" on 2x1 '
	eval "$LISTEN"
	"$CLUSTER" exec host0 python3 -c "$SEND" 10000 &
	sleep 0.3
	"$CLUSTER" cut host1
	wait $!'
says restore "answered 500000000" on 2x1 '
	eval "$LISTEN"
	"$CLUSTER" exec host0 python3 -c "$SEND" 500 &
	sleep 0.1
	"$CLUSTER" cut host0
	sleep 0.5
	"$CLUSTER" restore host0
	wait $!'

# ---- nothing is left ----

# Links of the machine's own network, processes that come from this test, files.
left()
{
	grep -oE '(host[0-9]+|bridge0|probe|eborp):' /proc/net/dev || true
	env -u CLUSTER_TEST grep -lszxF "CLUSTER_TEST=$CLUSTER_TEST" /proc/[0-9]*/environ || true
	find "$TMPDIR" -mindepth 1
}

# ends NAME: within ten seconds nothing is left.
ends()
{
	local i
	for ((i = 0; i < 100; i++)); do
		left >"$out" 2>/dev/null
		if [ ! -s "$out" ]; then
			echo "ok $1"
			return
		fi
		sleep 0.1
	done
	not_ok "$1" "still there"
}

# started SIGNAL: a cluster with a process on each host that would stay, sent that signal.
started()
{
	local pid i
	rm -f "$folder/up"
	UP=$folder/up "$CLUSTER" start --hosts 2x1 -- bash -c '
		for host in host0 host1; do
			"$CLUSTER" exec "$host" setsid sh -c "trap \"\" TERM INT HUP; echo >>\"$UP\"; sleep 300" &
		done
		wait' >/dev/null 2>&1 &
	pid=$!
	for ((i = 0; i < 100; i++)); do
		[ "$(wc -l 2>/dev/null <"$folder/up" || echo 0)" != 2 ] || break
		sleep 0.1
	done
	left >"$out"
	if [ ! -s "$out" ]; then
		not_ok "seen_before_$1" "nothing is seen of a cluster that is there"
	fi
	kill -"$1" $pid
	wait $pid 2>/dev/null || true
}

ends nothing_left_after_all_of_it
for signal in KILL TERM INT; do
	# A job of a shell without job control ignores SIGINT: reset it.
	set -m
	started $signal
	set +m
	ends "nothing_left_after_$signal"
done

# ---- jobs ----

setup_mpirun
version=$("${MPIRUN:-mpirun.openmpi}" --version 2>/dev/null || true)
# Called by its full name Debian's says "OpenRTE".
if [[ $version != *"Open MPI"* && $version != *OpenRTE* ]]; then
	echo "skip jobs - mpirun is missing (Debian package openmpi-bin)"
else
	says mpirun "host0 host0 host1 " "$CLUSTER" start --hosts 2+1 -- \
		bash -c '"$CLUSTER" mpirun uname -n | sort | tr "\n" " "; echo'
	"$CLUSTER" run --hosts 2x1 -- sh -c 'echo >>"$0"; sleep 300' "$folder/ranks" >/dev/null 2>&1 &
	job=$!
	for ((i = 0; i < 100; i++)); do
		[ "$(wc -l 2>/dev/null <"$folder/ranks" || echo 0)" != 2 ] || break
		sleep 0.1
	done
	kill -KILL $job
	wait $job 2>/dev/null || true
	ends nothing_left_of_a_job
	if [ ! -e "$build/collectives/mpi/ronde_mpi.so" ]; then
		echo "skip ronde - the MPI module is not built (Debian package libopenmpi-dev)"
	else
		says nodes "rank 2 of 3 by mpi, nodes 0 0 1" "$CLUSTER" run --hosts 2+1 -- "$world"
		says ronde_over_hosts "3 ranks: y = 3.00 x \\+ 1.00" \
			"$CLUSTER" run --hosts 2+1 -- "$build/docs/examples/hello"
		export RONDERUN="$build/bindings/cli/ronderun" HELLO="$build/docs/examples/hello"
		export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
		launcher='"$CLUSTER" exec host0 "$RONDERUN" --mpirun mpirun.openmpi --ssh "$CLUSTER agent" -x RONDE_CLUSTER --network-interface eth0'
		says ronderun "\[0\] 3 ranks: y = 3.00 x \+ 1.00" on 2+1 "$launcher -H host0:2,host1 \"\$HELLO\""
		refuses ronderun_status 7 "the job .* ended with exit status 7" on 2x1 "$launcher -H host0,host1 sh -c 'exit 7'"
		refuses ronderun_no_host 64 'no host "host7"' on 2x1 "$launcher -H host0,host7 true"
		says ronderun_killed "left 0" on 2x1 "$launcher -H host0,host1 sh -c 'echo \$\$ >\"\$CLUSTER_TEST/\$OMPI_COMM_WORLD_RANK.pid\"; sleep 299 & sleep 299; :' &
			for ((i = 0; i < 100; i++)); do [ \"\$(ps -eo args= | grep -cx 'sleep 299')\" != 4 ] || break; sleep 0.1; done
			[ \$i -lt 100 ]
			kill -KILL \$(ps -eo pid=,comm= | awk '\$2 == \"ronderun\" { print \$1 }')
			for ((i = 0; i < 50; i++)); do
				left=\$(ps -eo args= | grep -cE '^(sleep 299|orted|mpirun|/usr/bin/orted)' || :)
				[ \"\$left\" != 0 ] || break
				sleep 0.1
			done
			echo \"left \$left\""
	fi
fi
[ $failures = 0 ]
