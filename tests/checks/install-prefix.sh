#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# An ordinary user installs Ronde into a prefix of their own, shared and static, and builds programs
# outside of the tree in C, C++ and Fortran, with pkg-config and with CMake. They run, and so does
# ronde-info; also after the prefix has been moved.
set -euo pipefail
. tests/lib.sh

# As root: the same as nobody, in a copy that nobody may read.
if [ "$(id -u)" = 0 ]; then
	scratch=$(mktemp -d)
	trap 'rm -rf "$scratch"' EXIT
	project_files '*' | tar -cf - --files-from - | tar -C "$scratch" -xf -
	chown -R nobody "$scratch"
	cd "$scratch"
	setpriv --reuid nobody --regid nogroup --clear-groups env -i HOME="$scratch" PATH=/usr/bin:/bin \
		MESON="$MESON" NINJA="${NINJA:-}" "$0"
	exit
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
examples=$PWD/docs/examples
fortran=
command -v gfortran >/dev/null && fortran=yes
[ -n "${NINJA:-}" ] || unset NINJA

attempt()
{
	local name=$1
	shift
	if "$@" >"$scratch/log" 2>&1; then
		echo "ok $name"
	else
		cat "$scratch/log"
		echo "not ok $name - $*"
	fi
}

# install NAME OPTION...: builds and installs into $scratch/NAME. Not optimised: that takes a quarter of
# the time, and nothing here depends on it.
install()
{
	local name=$1
	shift
	"$MESON" setup "$scratch/build-$name" --prefix="$scratch/$name" --libdir=lib \
		-Doptimization=0 -Ddebug=false -Dtests=disabled -Dexamples=disabled "$@" &&
		"$MESON" compile -C "$scratch/build-$name" &&
		"$MESON" install -C "$scratch/build-$name" --no-rebuild
}

# build NAME SOURCE COMPILER PACKAGE [OPTION of pkg-config]
build()
{
	local name=$1 source=$2 compiler=$3 package=$4
	shift 4
	# shellcheck disable=SC2046  # words are wanted
	$compiler -o "$scratch/$name" "$examples/$source" $(pkg-config "$@" --cflags --libs "$package") -lm
}

# runs NAME COMMAND: as two ranks, within a minute.
runs()
{
	RONDE_RANK=1 RONDE_SIZE=2 RONDE_ADDRESS=ronde-$$-$1 timeout 60 "$2" &
	RONDE_RANK=0 RONDE_SIZE=2 RONDE_ADDRESS=ronde-$$-$1 timeout 60 "$2" && wait $!
}

is_static()
{
	! readelf -d "$1" | grep -q 'NEEDED.*libronde'
}

# programs KIND [OPTION of pkg-config]
programs()
{
	local kind=$1
	shift
	attempt "$kind-c" build "$kind-c" hello.c gcc ronde "$@"
	attempt "$kind-c++" build "$kind-c++" circles.cpp g++ ronde "$@"
	attempt "$kind-c-runs" runs "$kind-c" "$scratch/$kind-c"
	attempt "$kind-c++-runs" runs "$kind-c++" "$scratch/$kind-c++"
	if [ -n "$fortran" ]; then
		attempt "$kind-fortran" build "$kind-fortran" logistic.f90 gfortran ronde-fortran "$@"
		attempt "$kind-fortran-runs" runs "$kind-fortran" "$scratch/$kind-fortran"
	fi
}

# with_cmake KIND PREFIX OPTION...
with_cmake()
{
	local kind=$1 prefix=$2
	shift 2
	if ! command -v cmake >/dev/null; then
		echo "skip $kind-cmake - cmake is missing"
		return
	fi
	attempt "$kind-cmake" cmake -G Ninja -S tests/install -B "$scratch/cmake-$kind" \
		-DCMAKE_PREFIX_PATH="$prefix" -DEXAMPLES="$examples" "$@"
	attempt "$kind-cmake-build" cmake --build "$scratch/cmake-$kind"
	for program in hello circles ${fortran:+logistic}; do
		attempt "$kind-cmake-$program" runs "$kind-$program" "$scratch/cmake-$kind/$program"
	done
}

attempt install install both -Ddefault_library=both
export PKG_CONFIG_PATH=$scratch/both/lib/pkgconfig
LD_LIBRARY_PATH=$scratch/both/lib programs shared
with_cmake shared "$scratch/both"
with_cmake static "$scratch/both" -DRONDE_USE_STATIC=ON
attempt static-cmake-is is_static "$scratch/cmake-static/hello"
attempt info "$scratch/both/bin/ronde-info"
attempt manual test -s "$scratch/both/share/man/man1/ronde-info.1"

# A prefix without libronde.so: only the static libraries are found. Moved, so that nothing may rest
# on where it was installed.
mkdir -p "$scratch/moved"
cp -a "$scratch/both" "$scratch/moved/ronde"
rm "$scratch"/moved/ronde/lib/libronde*.so*
export PKG_CONFIG_PATH=$scratch/moved/ronde/lib/pkgconfig
programs static --static --define-prefix
attempt static-is is_static "$scratch/static-c"
mv "$scratch/both" "$scratch/away"
with_cmake moved "$scratch/moved/ronde"
if [ -e "$scratch/moved/ronde/lib/ronde/ronde_mpi.so" ]; then
	attempt moved-module grep -q moved/ronde <("$scratch/moved/ronde/bin/ronde-info" mpi)
fi
