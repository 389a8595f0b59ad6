#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds Ronde for aarch64 with Debian's cross compiler, warnings being errors, runs the kernels'
# tests under qemu-user, and compares the bits of their results with this processor's.
#
# What the library and the tests link to (hwloc, Check) are Debian's arm64 packages, unpacked in a
# folder: nothing of this system is changed. They are kept where .ci/fresh.sh keeps its downloads
# (RONDE_CACHE).
set -euo pipefail

for program in aarch64-linux-gnu-gcc qemu-aarch64; do
	command -v $program >/dev/null || {
		echo "$program is missing: install gcc-aarch64-linux-gnu, libc6-dev-arm64-cross, qemu-user"
		exit 77
	}
done
work=${BUILD:?}/aarch64
root=$work/root
debs=${RONDE_CACHE:-${XDG_CACHE_HOME:-${HOME:-/var/cache}/.cache}/ronde}/arm64
{ mkdir -p "$debs" 2>/dev/null && [ -w "$debs" ]; } || debs=$work/debs
mkdir -p "$work" "$root" "$debs"

# An apt of its own: other lists, another status file, another architecture.
apt()
{
	apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=root \
		-o Dir::State::Lists="$work/lists" -o Dir::State::status="$work/status" \
		-o Dir::Cache="$work/cache" "$@"
}

download_packages()
{
	mkdir -p "$work/lists/partial" "$work/cache/archives/partial" && : >"$work/status" &&
		apt update &&
		(cd "$debs" && apt download libhwloc-dev libhwloc15 libudev1 libcap2 libnuma1 check \
			libsubunit-dev libsubunit0 uthash-dev) &&
		touch "$debs/complete"
}

unpack_packages()
{
	[ -e "$debs/complete" ] || download_packages || return
	for package in "$debs"/*.deb; do
		dpkg-deb -x "$package" "$root" || return
	done
	touch "$root/complete"
}

if [ ! -e "$root/complete" ] && ! unpack_packages >"$work/apt.log" 2>&1; then
	tail -n 5 "$work/apt.log"
	echo "Debian's arm64 packages cannot be had here"
	exit 77
fi

libraries=$root/usr/lib/aarch64-linux-gnu
cat >"$work/cross.ini" <<END_OF_FILE
[binaries]
c = 'aarch64-linux-gnu-gcc'
ar = 'aarch64-linux-gnu-ar'
strip = 'aarch64-linux-gnu-strip'
pkgconfig = 'pkg-config'
exe_wrapper = ['qemu-aarch64', '-L', '/usr/aarch64-linux-gnu', '-E', 'LD_LIBRARY_PATH=$libraries']

[properties]
pkg_config_libdir = '$libraries/pkgconfig'
sys_root = '$root'

[built-in options]
c_args = ['-I$root/usr/include', '-I$root/usr/include/aarch64-linux-gnu']
c_link_args = ['-L$libraries', '-Wl,-rpath-link,$libraries']

[host_machine]
system = 'linux'
cpu_family = 'aarch64'
cpu = 'aarch64'
endian = 'little'
END_OF_FILE

run()
{
	timeout 300 qemu-aarch64 -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH="$libraries" "$@"
}

build=$work/build
if [ ! -e "$build/build.ninja" ]; then
	"$MESON" setup "$build" --cross-file "$work/cross.ini" -Dwerror=true -Dmpi=none \
		-Dfortran=disabled -Dexamples=disabled -Dtests=enabled
fi
"$MESON" compile -C "$build" ronde ronde-info check_kernels check_ring check_config kernel-digest
echo "ok build"

for suite in kernels ring config; do
	if run "$build/tests/check_$suite"; then
		echo "ok check-$suite"
	else
		echo "not ok check-$suite - it fails under qemu-aarch64"
	fi
done

# One text for all sets of both processors.
digests=$work/digests
rm -rf "$digests"
mkdir "$digests"
for set in $("$BUILD/tests/kernel-digest"); do
	"$BUILD/tests/kernel-digest" "$set" >"$digests/here-$set"
done
for set in $(run "$build/tests/kernel-digest"); do
	run "$build/tests/kernel-digest" "$set" >"$digests/aarch64-$set"
done
for file in "$digests"/*; do
	if cmp -s "$digests/here-c" "$file"; then
		echo "ok bits-${file##*/}"
	else
		diff "$digests/here-c" "$file" | head -n 10 || true
		echo "not ok bits-${file##*/} - its results differ from those of plain C here"
	fi
done
if [ -e "$digests/aarch64-neon" ]; then
	echo "ok neon"
else
	echo "not ok neon - there is no set of this name"
fi
if run "$build/bindings/cli/ronde-info" build processor config algorithms; then
	echo "ok ronde-info"
else
	echo "not ok ronde-info - it fails under qemu-aarch64"
fi
