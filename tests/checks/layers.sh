#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bindings -> coordinator -> collectives: a lower layer never includes an upper one, examples see only
# public headers, and mpi.h is included by the MPI module alone. Includes are written from the root.
set -euo pipefail
. tests/lib.sh

status=0

# refuse TEXT FILES-REGEX INCLUDE-REGEX
refuse()
{
	local found
	found=$(project_files '*.c' '*.h' '*.inc' | grep -E "$2" |
		xargs -r grep -nE "^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]($3)" /dev/null || true)
	if [ -n "$found" ]; then
		printf 'not allowed: %s\n%s\n' "$1" "$found"
		status=1
	fi
}

refuse "collectives may include only collectives and ronde/ronde.h" \
	'^collectives/' 'coordinator/|bindings/|tests/|perf/'
refuse "coordinator may include only coordinator, collectives and ronde/ronde.h" \
	'^coordinator/' 'bindings/|tests/|perf/'
refuse "bindings may not include tests or perf" '^bindings/' 'tests/|perf/'
refuse "examples include only public headers" \
	'^docs/examples/' 'collectives/|coordinator/|bindings/|tests/|perf/'
refuse "includes are written from the root" '\.' '\.\./'
refuse "only collectives/mpi, ronde/mpi.h, perf, tests and the examples include mpi.h" \
	'^(collectives/[^m]|collectives/m[^p]|coordinator/|bindings/([^c]|c/[^r]|c/ronde/[^m]))' 'mpi\.h'
# No lock lies in the arena: a rank that dies or stops would hold it for ever.
# All files that say what lies in it, or write its layout.
if grep -nE 'pthread_(mutex|cond|rwlock|spin|barrier)|sem_t|mtx_t|cnd_t' collectives/algorithms/*.[ch] \
	collectives/{arena,phase,operation,share,node,node_private,node_pass}.h \
	collectives/{arena,phase,node_arena,node_layout,node_lead,node_pass}.c \
	coordinator/{ring,wire,entry}.[ch]; then
	echo 'not allowed: a lock in shared memory'
	status=1
fi
exit $status
