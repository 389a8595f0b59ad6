#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What `meson install` puts into a prefix is complete: the example of the README is compiled with
# nothing but pkg-config's word for it, and runs. The version is the same everywhere.
set -euo pipefail
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT

DESTDIR=$prefix "$MESON" install -C "$BUILD" --no-rebuild --quiet
pc=$(find "$prefix" -name ronde.pc)
[ -n "$pc" ] || { echo "not ok ronde.pc - meson install puts no ronde.pc anywhere"; exit 1; }
export PKG_CONFIG_PATH=${pc%/*} PKG_CONFIG_SYSROOT_DIR=$prefix
echo "ok ronde.pc"

header()
{
	sed -n "s/^#define RONDE_VERSION_$1 //p" bindings/c/ronde/ronde.h
}
of_header=$(header MAJOR).$(header MINOR).$(header PATCH)
of_meson=$("$MESON" introspect "$BUILD" --projectinfo |
	python3 -c 'import json, sys; print(json.load(sys.stdin)["version"])')
of_pc=$(pkg-config --modversion ronde)
if [ "$of_header" = "$of_meson" ] && [ "$of_pc" = "$of_meson" ]; then
	echo "ok version"
else
	echo "not ok version - meson.build $of_meson, ronde.h $of_header, ronde.pc $of_pc"
fi

# shellcheck disable=SC2046  # words are wanted
gcc -o "$prefix/hello" docs/examples/hello.c $(pkg-config --cflags --libs ronde) -lm
libraries=$(dirname "$(find "$prefix" -name libronde.so)")
LD_LIBRARY_PATH=$libraries timeout 30 "$prefix/hello"
echo "ok hello"
