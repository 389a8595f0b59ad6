#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# On a system that Ronde does not run on meson stops with one sentence that says which it does run on.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/musl"
: >"$folder/musl/limits.h" # whatever includes this one learns of no glibc

# refuse NAME SYSTEM CPU-FAMILY WHAT [C-ARGUMENTS]
refuse()
{
	local name=$1 system=$2 cpu=$3 what=$4 args=${5:-}
	cat >"$folder/$name.ini" <<-END
		[binaries]
		c = 'gcc'
		[built-in options]
		c_args = [$args]
		[host_machine]
		system = '$system'
		cpu_family = '$cpu'
		cpu = '$cpu'
		endian = 'little'
	END
	if "$MESON" setup "$folder/$name" --cross-file "$folder/$name.ini" >"$folder/said" 2>&1; then
		echo "not ok $name - meson goes on"
	elif [ "$(grep -c 'ERROR' "$folder/said")" = 1 ] && grep -qF \
		"ERROR: Problem encountered: Ronde runs on Linux with glibc on x86-64 and aarch64; this is $what." "$folder/said"; then
		echo "ok $name"
	else
		tail -n 5 "$folder/said"
		echo "not ok $name - it does not say that this is $what"
	fi
}

refuse freebsd freebsd x86_64 "freebsd on x86_64"
refuse riscv linux riscv64 "linux on riscv64"
refuse musl linux x86_64 "linux on x86_64 with another C library" "'-I$folder/musl'"
