#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is needed, builds Ronde, and trains a convolutional network on Fashion-MNIST on 2
# ranks. Can be run again and again; the second time it only trains.
#
# usage: docs/quickstart.sh [OPTION OF fashion_mnist]...
# environment: RONDE_BUILD  build folder (default: build)
#              RANKS        number of ranks (default: 2)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. docs/setup-lib.sh

build=${RONDE_BUILD:-build}
ranks=${RANKS:-2}

case ${1-} in
-h | --help)
	sed -n '3,8s/^# \{0,1\}//p' "$0"
	exit
	;;
esac

setup_install build data

setup_say "building in $build"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
setup_build "$build" --buildtype=release -Dexamples=enabled -Dtests=disabled >"$log" 2>&1 || {
	tail -n 40 "$log" >&2
	setup_die "the build failed; its last lines are above"
}

setup_mpirun
if [ "$(id -u)" = 0 ]; then
	setup_say "running as root: Open MPI wants OMPI_ALLOW_RUN_AS_ROOT and" \
		"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM for that; both are set for this run"
fi

# --oversubscribe: also with fewer cores than ranks.
command=("$mpirun" --oversubscribe -np "$ranks" "$build/docs/examples/fashion_mnist" "$@")
setup_say "training a network on 60,000 pictures of clothes, on $ranks ranks: ${command[*]}"
"${command[@]}" </dev/null
cat <<END
== done. Each rank computed gradients on its share of the pictures, and Ronde averaged them.
   test accuracy: the share of 10,000 pictures it had never seen that the network names rightly.
   communication: the share of the time that was spent waiting for the other ranks' gradients.
   The program is docs/examples/fashion_mnist.c; try --help: $build/docs/examples/fashion_mnist --help
END
