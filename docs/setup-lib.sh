# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Installing what Ronde needs. Sourced by docs/quickstart.sh, tests/run.sh, perf/run.sh and .ci/fresh.sh: the one
# place that knows package names. Packages are named by purpose:
#   build  compiles the library and the examples, and starts ranks
#   data   data sets and libraries that the examples train with
#   test   everything tests/run.sh calls
#   perf   what perf/run.sh draws and compares with
#   cross  builds for aarch64 and runs that
#   fresh  a minimal Debian in a folder (.ci/fresh.sh)

# Seams for tests/checks/setup.sh.
setup_os_release=${setup_os_release:-/etc/os-release}
setup_datasets=${setup_datasets:-/usr/share}

setup_say()
{
	printf '== %s\n' "$*"
}

setup_die()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# setup_packages PURPOSE...: package names of Debian 12, one a line.
setup_packages()
{
	local purpose
	for purpose; do
		case $purpose in
		build)
			printf '%s\n' gcc libc6-dev pkg-config meson ninja-build libhwloc-dev \
				libopenmpi-dev openmpi-bin uthash-dev zlib1g-dev libopenblas-dev
			;;
		data)
			printf '%s\n' dataset-fashion-mnist libfann-dev libfann-doc
			;;
		test)
			printf '%s\n' check mpich libmpich-dev g++ gfortran cmake clang clang-format \
				clang-tidy libclang-rt-14-dev binutils shellcheck doxygen python3 python3-numpy python3-pytest mandoc gdb iproute2
			;;
		perf)
			printf '%s\n' gnuplot-nox mpich libmpich-dev python3 util-linux iproute2
			;;
		cross)
			printf '%s\n' gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
			;;
		fresh)
			printf '%s\n' debootstrap util-linux
			;;
		*)
			setup_die "setup_packages: no purpose \"$purpose\""
			;;
		esac
	done
}

# setup_check_system PURPOSE...: returns on Debian 12; elsewhere says what is needed and stops.
setup_check_system()
{
	local name
	if grep -qx 'ID=debian' "$setup_os_release" 2>/dev/null &&
		grep -qxE 'VERSION_ID="?12"?' "$setup_os_release"; then
		return
	fi
	name=$(sed -n 's/^PRETTY_NAME="\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' "$setup_os_release" 2>/dev/null)
	cat >&2 <<-END
		${0##*/}: this is ${name:-an unknown system}; this script installs packages on Debian 12 only.
		Ronde itself needs Linux with glibc on x86-64 or aarch64, a C17 compiler, pkg-config,
		meson 1.0 or newer, ninja, hwloc 2 and uthash. Its MPI module needs an MPI 3.1 library,
		the examples OpenBLAS, zlib and FANN. On Debian 12 all this is in the packages:
		  $(setup_packages "$@" | paste -sd' ')
		Install their counterparts, then build by hand as docs/install.md shows.
	END
	exit 1
}

# A minimal system may drop /usr/share/doc when it unpacks packages, and with it FANN's data sets.
setup_is_installed()
{
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ] || return 1
	case $1 in
	dataset-fashion-mnist)
		[ -e "$setup_datasets/datasets/fashion-mnist/train-images-idx3-ubyte.gz" ]
		;;
	libfann-doc)
		[ -e "$setup_datasets/doc/libfann-dev/examples/datasets/mushroom.train" ]
		;;
	esac
}

# setup_as_root COMMAND...: runs it as root; 2: there is no way to be root here.
setup_as_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
		sudo "$@"
	else
		return 2
	fi
}

setup_apt_get()
{
	setup_as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@"
}

# setup_install PURPOSE...: makes sure that all their packages are installed, or says what to do.
setup_install()
{
	local package missing=() log status=0
	local -a install=(install --yes --no-install-recommends --reinstall
		-o "Dpkg::Options::=--path-include=/usr/share/doc/libfann-dev/*")
	setup_check_system "$@"
	while read -r package; do
		setup_is_installed "$package" || missing+=("$package")
	done < <(setup_packages "$@")
	if [ ${#missing[@]} = 0 ]; then
		return
	fi

	setup_say "installing ${#missing[@]} packages and what they need: ${missing[*]}"
	log=$(mktemp)
	{ setup_apt_get update && setup_apt_get "${install[@]}" "${missing[@]}"; } >"$log" 2>&1 || status=$?
	if [ $status = 2 ] && [ ! -s "$log" ]; then
		rm -f "$log"
		setup_die "packages are missing, and this user can neither install them nor use sudo." \
			"As root, run:
  apt-get update && apt-get install --no-install-recommends ${missing[*]}"
	elif [ $status != 0 ]; then
		tail -n 30 "$log" >&2
		rm -f "$log"
		setup_die "apt-get failed (status $status, its last words are above) installing: ${missing[*]}"
	fi
	rm -f "$log"
	for package in "${missing[@]}"; do
		setup_is_installed "$package" || setup_die \
			"apt-get succeeded, yet $package is not complete: files of it are missing"
	done
}

# Prefers Debian's meson and ninja: another pair earlier in PATH may be a wrapper that needs set-up.
setup_tools()
{
	MESON=meson
	if [ -x /usr/bin/meson ]; then
		MESON=/usr/bin/meson
	fi
	if [ -x /usr/bin/ninja ]; then
		export NINJA=/usr/bin/ninja
	fi
}

# setup_configure FOLDER OPTION...: configures FOLDER unless it is.
setup_configure()
{
	local folder=$1
	shift
	setup_tools
	if [ -e "$folder" ] && [ ! -w "$folder" ]; then
		setup_die "the build folder $folder belongs to somebody else;" \
			"remove it, or name another one in RONDE_BUILD"
	fi
	if [ ! -f "$folder/build.ninja" ]; then
		"$MESON" setup "$folder" "$@"
	fi
}

# setup_build FOLDER OPTION...: configures FOLDER unless it is, and compiles.
setup_build()
{
	setup_configure "$@" && "$MESON" compile -C "$1"
}

# Finds Open MPI's launcher, sets $mpirun to it, and has it work for root too: it refuses without
# these variables. Harmless for everybody else.
setup_mpirun()
{
	# shellcheck disable=SC2034  # the caller's
	mpirun=$(command -v mpirun.openmpi || command -v mpirun) || setup_die \
		"there is no mpirun; it is in the package openmpi-bin: apt-get install openmpi-bin"
	if [ "$(id -u)" = 0 ]; then
		export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
	fi
}
