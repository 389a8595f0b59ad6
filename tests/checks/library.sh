#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# libronde.so: what it needs, what it exports, what it is called.
set -euo pipefail
library=$BUILD/libronde.so

# README.md and docs/install.md say what it needs; the dynamic linker itself is no library.
needed=$(readelf -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -v '^ld-linux' | sort)
said=$(printf '%s\n' libc.so.6 libhwloc.so.15 libm.so.6)
if [ "$needed" != "$said" ]; then
	echo "not ok needed - libronde.so needs $(paste -sd' ' <<<"$needed"); allowed: libc, libhwloc, libm"
elif ! grep -q 'The library needs libc, libm and hwloc, nothing else' README.md ||
	! grep -q 'libronde.so.0. | the library; needs libc, libm and hwloc |' docs/install.md; then
	echo "not ok needed - README.md and docs/install.md do not say \"libc, libm and hwloc\" of the library"
else
	echo "ok needed"
fi

foreign=$(nm -D --defined-only "$library" | awk '{ print $NF }' | sed 's/@.*//' |
	grep -vE '^(ronde_[a-z0-9_]+|RONDE_[0-9]+)$' || true)
if [ -z "$foreign" ]; then
	echo "ok exported"
else
	echo "not ok exported - libronde.so exports $(paste -sd' ' <<<"$foreign")"
fi

# What the header declares is there, and nothing else: an internal function that starts with ronde_
# must not become part of the ABI.
declared=$(cat bindings/c/ronde/*.h | gcc -fpreprocessed -dD -E -P - 2>/dev/null |
	tr '\n' ' ' | grep -oE 'RONDE_API[^;(]*\(' | grep -oE 'ronde_[a-z0-9_]+ *\(' |
	tr -d ' (' | sort -u)
exported=$(nm -D --defined-only "$library" | awk '{ print $NF }' | sed 's/@.*//' |
	grep '^ronde_' | sort -u)
difference=$(comm -3 <(printf '%s\n' "$declared") <(printf '%s\n' "$exported"))
if [ -z "$difference" ]; then
	echo "ok declared"
else
	echo "declared and not exported, or (indented) exported and not declared:"
	printf '%s\n' "$difference"
	echo "not ok declared - the header and the exported symbols differ, see above"
fi

# Each of them is called before ronde_init(), too.
untried=$(comm -23 <(printf '%s\n' "$declared") \
	<(grep -oE 'ronde_[a-z0-9_]+' tests/check_before_init.c | sort -u))
if [ -z "$untried" ]; then
	echo "ok before-init"
else
	echo "not ok before-init - tests/check_before_init.c does not call $(paste -sd' ' <<<"$untried")"
fi

# Those that take pointers, types, reductions, sets or handles are called with wrong ones. Left out:
# functions without such an argument, or for which no value is wrong; ronde_init: check_config.
always_right='ronde_alloc ronde_barrier ronde_cross_rank ronde_cross_size ronde_distributed_optimizer_destroy
ronde_distributed_optimizer_wait_seconds ronde_dtype_bytes ronde_dtype_name ronde_error_message ronde_init
ronde_is_homogeneous ronde_is_initialized ronde_join ronde_local_rank ronde_local_size ronde_rank
ronde_reduction_name ronde_set_log_function ronde_shutdown ronde_size ronde_status_name ronde_status_text
ronde_timeline_stop ronde_version'
untried=$(comm -23 <(printf '%s\n' "$declared") \
	<({ tr ' ' '\n' <<<"$always_right"; grep -oE 'ronde_[a-z0-9_]+\(' tests/check_arguments.c | tr -d '('; } | sort -u))
if [ -z "$untried" ]; then
	echo "ok arguments"
else
	echo "not ok arguments - tests/check_arguments.c does not call $(paste -sd' ' <<<"$untried")"
fi

# State of the process is what stands for something that it has once, and nothing else: see
# docs/CONTRIBUTING.md. (A thread's error text is not an object to objdump.)
known='bindings_c_default.c state
bindings_c_memory.c heap_lock
bindings_c_memory.c the_heap
collectives_lifeline.c pipes
collectives_lifeline.c pipes_error
collectives_lifeline.c pipes_lock
collectives_lifeline.c pipes_once'
mutable=$(objdump -t "$BUILD/libronde-core.a" | awk '
	/file format/ { n = split($1, part, "/"); file = part[n]; sub(/\.o:$/, "", file) }
	$3 == "O" && $4 ~ /^(\.data|\.bss|\*COM\*)/ && $4 !~ /^\.data\.rel\.ro/ { print file, $NF }' |
	sort)
if [ "$mutable" = "$known" ]; then
	echo "ok globals"
else
	diff <(printf '%s\n' "$known") <(printf '%s\n' "$mutable") || true
	echo "not ok globals - the library has other variables than it should (>), or lacks one (<)"
fi

soname=$(readelf -d "$library" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
if [ "$soname" = libronde.so.0 ]; then
	echo "ok soname"
else
	echo "not ok soname - it is \"$soname\", not libronde.so.0"
fi
