#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ronderun starts ranks that find each other, hands on what they print and how they end, refuses what
# it cannot do, and leaves nothing behind, however it is ended itself.
#
# usage: tests/ronderun.sh BUILD-FOLDER
# shellcheck disable=SC2016  # other shells see the dollars
set -euo pipefail

build=$(realpath "$1")
ronderun=$build/bindings/cli/ronderun
hello=$build/docs/examples/hello
folder=$(mktemp -d)
trap 'kill -KILL $(jobs -p) 2>/dev/null || true; rm -rf "$folder"' EXIT
out=$folder/out
err=$folder/err
failures=0

not_ok()
{
	head -n 30 "$out" "$err" 2>/dev/null || true
	echo "not ok $1 - $2"
	failures=$((failures + 1))
}

# run ARGUMENT...: $status, $out, $err; 124: it had not ended after 30 s.
run()
{
	status=0
	timeout 30 "$ronderun" "$@" >"$out" 2>"$err" </dev/null || status=$?
}

# expect NAME STATUS OUT ERR: what was run last ended so; the texts are patterns of a line, empty: none.
expect()
{
	local file pattern
	if [ "$status" != "$2" ]; then
		not_ok "$1" "ended with status $status, not $2"
		return
	fi
	for file in out err; do
		pattern=$3
		[ $file = out ] || pattern=$4
		if [ -z "$pattern" ] && [ -s "$folder/$file" ]; then
			not_ok "$1" "$file is not empty"
			return
		elif [ -n "$pattern" ] && ! grep -qE -- "$pattern" "$folder/$file"; then
			not_ok "$1" "$file has no line \"$pattern\""
			return
		fi
	done
	echo "ok $1"
}

# ---- jobs ----

if [ -x "$hello" ]; then
	for n in 1 2 3; do
		run -np $n "$hello"
		expect "ranks_meet_$n" 0 "^\[0\] $n ranks: y = 3.00 x \+ 1.00$" ''
	done
fi
run -n 2 sh -c 'echo "$RONDE_RANK/$RONDE_SIZE $((${#RONDE_ADDRESS} > 30))"'
sort -o "$out" "$out"
expect environment 0 '^\[1\] 1/2 1$' ''
run -np 2 --no-prefix sh -c 'echo "rank $RONDE_RANK"'
expect no_prefix 0 '^rank 1$' ''
run -np 1 printf '%s|' 'a b' '$HOME' '*' "it's" ''
expect arguments 0 "^\[0\] a b\|\\\$HOME\|\*\|it's\|\|\$" ''
run -np 1 -- sh -c 'echo out; echo err >&2'
expect streams 0 '^\[0\] out$' '^\[0\] err$'
run -np 2 sh -c 'printf unfinished'
expect last_line_without_end 0 '^\[1\] unfinished$' ''
run -np 2 sh -c 'head -c 20000 /dev/zero | tr "\0" x; echo; echo end'
[ "$(grep -c end "$out")" = 2 ] && [ "$(tr -cd x <"$out" | wc -c)" = 40000 ] || status=lost
expect long_lines 0 '^\[0\] end$' ''
run -np 4 sh -c 'for i in $(seq 5000); do echo "line $i of $RONDE_RANK"; done'
[ "$(grep -cxE '\[([0-3])\] line [0-9]+ of \1' "$out")" = 20000 ] || status=mixed
expect many_lines 0 '^\[3\] line 5000 of 3$' ''
run -np 2 --output "$folder/ranks" sh -c 'echo "rank $RONDE_RANK"; echo error >&2'
[ "$(cat "$folder"/ranks/1.out "$folder"/ranks/0.err)" = "rank 1
error" ] || status=files
expect files_of_ranks 0 '' ''
echo input >"$folder/input"
status=0
timeout 30 "$ronderun" -np 2 sh -c 'read -r line; echo "got $line"' <"$folder/input" >"$out" 2>"$err" ||
	status=$?
grep -qx '\[1\] got ' "$out" || status=shared
expect input_of_rank_0 0 '^\[0\] got input$' ''

# ---- what ranks are given ----

run -np 1 -x A=1 -x B= -x HOME sh -c 'echo "$A,$B,${B-unset},$HOME"'
expect variables 0 "^\[0\] 1,,,$HOME\$" ''
run -np 1 -x NOT_SET_ANYWHERE true
expect variable_that_is_not_set 64 '' 'NOT_SET_ANYWHERE: it is not set here'
run -np 1 --fusion-threshold=1M --log-file "$folder/%r.log" sh -c 'echo "$RONDE_FUSION_THRESHOLD $RONDE_LOG_FILE"'
expect settings 0 "^\[0\] 1M $folder/%r.log\$" ''
run -np 1 --lanes=65 true
expect setting_that_is_not_allowed 64 '' '--lanes is "65": allowed is'
run -np 1 --lane=2 --help
missing=
for name in $("$build/bindings/cli/ronde-info" config | sed -n 's/^ *RONDE_\([A-Z0-9_]*\).*/\1/p'); do
	case $name in TEST_*) continue ;; esac
	name=${name,,}
	"$ronderun" --help | grep -q -- "--${name//_/-}=" || missing+=" $name"
done
[ -z "$missing" ] || status="no options:$missing"
expect all_settings 0 'Starts a program' ''
run -np 2 --dry-run ./train 'a b' "it's"
expect dry_run 0 "^RONDE_RANK=1 RONDE_SIZE=2 RONDE_ADDRESS=ronderun-[0-9a-f]{32} ./train 'a b' 'it'.''s'\$" ''
cores=$(nproc)
run -np "$cores" --bind-to core sh -c 'nproc'
[ "$(grep -c '] 1$' "$out")" = "$cores" ] || status=unbound
expect bound 0 '^\[0\] 1$' ''

# ---- how jobs end ----

run -np 3 sh -c '[ $RONDE_RANK != 1 ] || exit 7; sleep 0.3'
expect exit_status 7 '' 'rank 1 \(sh, pid [0-9]+ on [^ )]+\) ended with exit status 7; the other ranks have 5 s left'
run -np 2 sh -c '[ $RONDE_RANK = 1 ] || kill -SEGV $$; sleep 0.3'
expect signal 139 '' 'rank 0 .* was ended by signal 11 \(Segmentation fault\)'
run -np 3 --grace 0.3 sh -c '[ $RONDE_RANK != 2 ] || exit 3; trap "echo asked; exit 0" TERM; while :; do sleep 0.05; done'
expect others_are_asked 3 '^\[0\] asked$' 'status 3; the other ranks have 0.3 s left'
run -np 3 --grace 0.3 sh -c '[ $RONDE_RANK != 2 ] || exit 3; trap "" TERM; while :; do sleep 0.05; done'
expect others_are_killed 3 '' 'rank 2'
run -np 2 ./no-such-program
expect no_such_program 127 '' 'cannot run ./no-such-program: No such file'
run -np 2 "$folder/input"
expect no_program 126 '' 'cannot run .*: Permission denied'

# What whoever starts ronderun ignores: HUP stays ignored, CHLD doesn't.
status=0
timeout -k 1 30 env --ignore-signal=HUP "$ronderun" -np 1 sh -c \
	'kill -HUP $(cut -d" " -f4 /proc/$PPID/stat); sleep 0.3; echo alive' >"$out" 2>"$err" </dev/null || status=$?
expect ignored_HUP 0 '^\[0\] alive$' ''
status=0
timeout -k 1 10 env --ignore-signal=CHLD "$ronderun" -np 2 sh -c 'exit 3' >"$out" 2>"$err" </dev/null || status=$?
expect ignored_CHLD 3 '' 'exit status'

# Two descriptors a rank are more than this limit, which ranks find as it was.
status=0
(
	ulimit -Sn 64
	timeout 30 "$ronderun" -np 40 sh -c 'ulimit -Sn' >"$out" 2>"$err"
) || status=$?
[ "$(grep -c '\] 64$' "$out")" = 40 ] || status=limits
expect descriptors 0 '^\[39\] 64$' ''
status=0
(
	ulimit -n 64
	timeout 30 "$ronderun" -np 40 true >"$out" 2>"$err"
) || status=$?
expect no_descriptors 1 '' 'rank [0-9]+ cannot be started: Too many open files; raise'

# ---- hosts ----

# What says that it is Open MPI VERSION, and prints its arguments.
fake_mpirun()
{
	printf '#!/bin/sh\n[ "$*" != --version ] || exec echo "%s"\nprintf "<%%s>" "$@"\n' "$2" >"$folder/$1"
	chmod +x "$folder/$1"
}
fake_mpirun mpi4 'mpirun (Open MPI) 4.1.4'
fake_mpirun mpi5 'mpirun (Open MPI) 5.0.3'
fake_mpirun hydra 'HYDRA build details: Version: 4.0.2'
run --check-build
expect check_build 0 '^\[X\] kernels c$' ''
mpi=$(sed -n 's/^\[X\] several machines: \(.*\) (.*/\1/p' "$out")
case $mpi in
'Open MPI')
	own=mpi4 other=hydra
	run --mpirun "$folder/mpi4" -H a:2,b --log=info -x HOME --ssh-port 22 --network-interface lo --dry-run ./t 'a b' '$x'
	expect open_mpi_4 0 "mpi4 --host a:2,b:1 -np 3 --bind-to none .*--mca plm_rsh_agent ssh --mca plm_rsh_args '-o BatchMode=yes -o ConnectTimeout=10 -p 22' .*btl_tcp_if_include lo .*-x RONDE_LOG.* -x HOME ./t 'a b' '.x'\$" ''
	run --mpirun "$folder/mpi5" -H a,b --ssh agent --dry-run ./t
	expect open_mpi_5 0 '--prtemca plm_ssh_agent agent' ''
	;;
MPICH)
	own=hydra other=mpi4
	run --mpirun "$folder/hydra" -H a:2,b --network-interface lo --dry-run ./t 'a b'
	expect mpich 0 "hydra -hosts a:2,b:1 -n 3 .*-iface lo .*./t 'a b'\$" ''
	;;
*)
	run -H a,b true
	expect hosts_without_mpi 64 '' 'several hosts need MPI'
	;;
esac
if [ -n "$mpi" ]; then
	hosts=(--mpirun "$folder/$own" --no-prefix)
	run "${hosts[@]}" -H a,b ./t 'a b;$(:)' "it's" ''
	expect hosts_arguments 0 "<./t><a b;\\\$\(:\)><it's><>\$" ''
	run --mpirun "$folder/$other" -H a,b true
	expect hosts_other_mpi 64 '' 'but Ronde was built for'
	printf '# c\nh1 slots=2\n\nh2\n' >"$folder/hosts"
	run "${hosts[@]}" --hostfile "$folder/hosts" true
	expect hostfile 0 '<h1:2,h2:1><-np?><3>' ''
	printf '#!/bin/sh\nprintf "%%s\\n" n1 n2 n3\n' >"$folder/scontrol"
	chmod +x "$folder/scontrol"
	slurm=(env "PATH=$folder:$PATH" SLURM_JOB_NODELIST='n[1-3]')
	status=0
	timeout 30 "${slurm[@]}" SLURM_TASKS_PER_NODE='4(x2),3' "$ronderun" "${hosts[@]}" true >"$out" 2>"$err" || status=$?
	expect slurm 0 '<n1:4,n2:4,n3:3><-np?><11>' ''
	status=0
	timeout 30 "${slurm[@]}" SLURM_TASKS_PER_NODE='4(x2)' "$ronderun" "${hosts[@]}" true >"$out" 2>"$err" || status=$?
	expect slurm_short 64 '' 'SLURM_TASKS_PER_NODE is "4\(x2\)": no number of ranks for host n3'
	run "${hosts[@]}" -H a,b -np 3 true
	expect hosts_too_few_slots 64 '' '-np 3: the 2 hosts take 2 ranks'
	run "${hosts[@]}" -H a,b --network-interface no0 true
	expect hosts_interface 64 '' 'has no interface "no0"'
	run "${hosts[@]}" -H a,b true :
	expect hosts_colon 64 '' 'it divides programs'
	run --mpirun "$folder/none" -H a,b true
	expect hosts_no_launcher 127 '' 'there is no such program; name the launcher'
fi
run -H localhost:2 sh -c 'echo $RONDE_SIZE'
expect localhost 0 '^\[1\] 2$' ''
for name in a,a:twice a:0:behind -o:'"-o"' 'a;b:"a;b"' ,:missing a:2x:behind; do
	run -H "${name%:*}" true
	expect "hosts_${name%:*}" 64 '' "${name##*:}"
done
printf 'h1\nh2 slot=3\n' >"$folder/hosts"
run --hostfile "$folder/hosts" true
expect hostfile_line 64 '' 'hosts:2: "slot=3": a line is'
run --hostfile "$folder/no-hosts" true
expect hostfile_missing 64 '' 'no-hosts: No such file'

# ---- wrong arguments ----

run true
expect np_is_missing 64 '' '-np is missing: how many ranks of true'
run -np 2
expect program_is_missing 64 '' 'no program'
for n in 0 -1 x 5000000 ''; do
	run -np "$n" true
	expect "np_$n" 64 '' "-np \"$n\": allowed is a number from 1 to 1048576"
done
run -np 5000 true
expect np_on_one_machine 64 '' 'at most 4096 ranks'
run -np 1 --bind-to socket true
expect bind_to_what 64 '' 'there are core and none'
run -np 1 --grace never true
expect grace_of_what 64 '' 'a number of seconds'
run -np 1 --output "$folder/input" true
expect output_is_no_folder 64 '' 'is no folder'

# ---- nothing is left ----

# Processes that carry this run's mark, own children and all.
mark=RONDERUN_TEST=$folder
marked()
{
	grep -lszxF "$mark" /proc/[0-9]*/environ | sed 's,/proc/,,; s,/environ,,' || true
}

# ends NAME STATUS SIGNAL...: a job of ranks that ignore signals, with children in sessions of their own
# that do, too; ronderun gets the signals one after the other.
ends()
{
	local name=$1 wanted=$2 pid i n signal
	shift 2
	rm -f "$folder"/up.*
	env "$mark" "$ronderun" -np 2 --grace 0.5 sh -c '
		trap "" INT TERM HUP
		setsid sh -c "sleep 300 & echo >$0.\$RONDE_RANK; wait" &
		wait
		while :; do sleep 1; done' "$folder/up" >"$out" 2>"$err" </dev/null &
	pid=$!
	for ((i = 0; i < 100; i++)); do
		[ ! -e "$folder/up.0" ] || [ ! -e "$folder/up.1" ] || break
		sleep 0.1
	done
	n=$(marked | wc -l)
	for signal; do
		kill -"$signal" $pid
		sleep 0.1
	done
	status=0
	wait $pid 2>/dev/null || status=$?
	for ((i = 0; i < 100; i++)); do
		[ -n "$(marked)" ] || break
		sleep 0.1
	done
	if [ "$n" -lt 8 ]; then
		not_ok "$name" "only $n processes were there"
	elif [ $status != "$wanted" ]; then
		not_ok "$name" "ended with status $status, not $wanted"
	elif [ -n "$(marked)" ]; then
		not_ok "$name" "left: $(marked | paste -sd' ')"
		marked | xargs -r kill -9
	else
		echo "ok $name"
	fi
}
# ends_unread NAME STATUS SIGNAL: so does a job whose output nobody reads, and that prints without end.
ends_unread()
{
	local pid i
	mkfifo "$folder/unread"
	sleep 20 <>"$folder/unread" &
	local reader=$!
	env "$mark" "$ronderun" -np 2 --grace 0.3 sh -c 'trap "" TERM; yes' >"$folder/unread" 2>"$err" </dev/null &
	pid=$!
	sleep 0.5
	kill -"$3" $pid
	for ((i = 0; i < 50; i++)); do
		[ -n "$(marked)" ] || break
		sleep 0.1
	done
	if [ -n "$(marked)" ]; then
		not_ok "$1" "left: $(marked | paste -sd' ')"
		marked | xargs -r kill -9
	fi
	status=0
	wait $pid 2>/dev/null || status=$?
	kill -KILL $reader
	rm "$folder/unread"
	if [ $status != "$2" ]; then
		not_ok "$1" "ended with status $status, not $2"
	else
		echo "ok $1"
	fi
}
set -m # a shell without job control has its jobs ignore SIGINT
ends after_INT 130 INT
ends after_TERM 143 TERM
ends after_two_INTs 130 INT INT
ends after_KILL 137 KILL
ends_unread unread_TERM 143 TERM
ends_unread unread_KILL 137 KILL
set +m
run -np 2 -x "$mark" sh -c 'setsid sleep 300 & echo started'
[ -z "$(marked)" ] || status=left
expect children_of_ranks_that_have_ended 0 '^\[1\] started$' ''
[ $failures = 0 ]
