#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# libronde.so: what it needs, what it exports, what it is called.
set -euo pipefail
library=$BUILD/libronde.so

needed=$(readelf -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
extra=$(grep -vE '^(libc\.so\.6|libm\.so\.6|libhwloc\.so\.15|ld-linux-[a-z0-9-]+\.so\.[0-9])$' \
	<<<"$needed" || true)
if [ -z "$extra" ]; then
	echo "ok needed"
else
	echo "not ok needed - libronde.so needs $(paste -sd' ' <<<"$extra"); allowed: libc, libm, hwloc"
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

soname=$(readelf -d "$library" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
if [ "$soname" = libronde.so.0 ]; then
	echo "ok soname"
else
	echo "not ok soname - it is \"$soname\", not libronde.so.0"
fi
