#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Compiles mpi-peer, the raw MPI beside which Ronde is measured, with MPICH's compiler.
#
# usage: perf/mpich-peer.sh PROGRAM
set -euo pipefail
program=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
parts=(data measure meeting number world mpi-baseline)
parts=("${parts[@]/%/.c}")
exec mpicc.mpich -std=c17 -D_GNU_SOURCE -O2 -I. -Ibindings/c perf/mpi-peer.c \
	"${parts[@]/#/perf/ronde-perf/}" -lm -o "$program"
