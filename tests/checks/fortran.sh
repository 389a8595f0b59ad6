#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The Fortran module has all of ronde.h and training.h, with the same values and sizes, and works on 1 to 3 ranks.
set -euo pipefail

module=bindings/fortran/ronde_c.f90
program=$BUILD/tests/fortran-operations
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Every function of the public headers has its interface. (ronde/mpi.h is for programs in C.)
declared=$(cat bindings/c/ronde/{ronde,training}.h | gcc -fpreprocessed -dD -E -P - 2>/dev/null |
	tr '\n' ' ' |
	grep -oE 'RONDE_API[^;(]*\(' | grep -oE 'ronde_[a-z0-9_]+ *\(' | tr -d ' (' | sort -u)
bound=$(grep -oE 'bind\(c, name="ronde_[a-z0-9_]+"' $module | grep -oE 'ronde_[a-z0-9_]+' | sort -u)
missing=$(comm -23 <(printf '%s\n' "$declared") <(printf '%s\n' "$bound"))
gone=$(comm -13 <(printf '%s\n' "$declared") <(printf '%s\n' "$bound"))
for function in $missing; do
	echo "$function() has no binding. Add to the interface in $module (as c_allreduce does):"
	echo "    function c_${function#ronde_}(…) bind(c, name=\"$function\") result(status)"
	echo "  and what programs call to bindings/fortran/ronde.F90, as its head comment says."
done
if [ -z "$missing$gone" ]; then
	echo "ok functions"
else
	echo "not ok functions - without a binding: ${missing:-none}; no longer in the headers: ${gone:-none}" |
		tr '\n' ' '
	echo
fi

# And what programs call is made of it, but for a few: blocking forms and those of one call only (the
# asynchronous and the general one are there), functions called back and names of types (programs in C).
# Sparse gradients of the optimizer: programs in Fortran add them up themselves, or call ronde_c.
apart=" allgather allreduce alltoall broadcast reducescatter broadcast_parameters
	distributed_optimizer_get_counters grouped_allgather grouped_allreduce grouped_reducescatter
	handle_on_done set_log_function dtype_name reduction_name
	sparse_allreduce_async sparse_wait gradient_ready_sparse sparse_gradient "
unused=
for function in $bound; do
	name=${function#ronde_}
	[[ $apart =~ [[:space:]]${name}[[:space:]] ]] || grep -qw "c_$name" bindings/fortran/{ronde.F90,*.inc} ||
		unused+=" $function"
done
if [ -z "$unused" ]; then
	echo "ok module"
else
	echo "not ok module - bindings/fortran/ronde.F90 has nothing for:$unused"
fi

# The constants: what C prints must stand in the module.
constants=$(grep -oE '^	+RONDE_(COMPRESSION|LOG)_[A-Z0-9]+' -h bindings/c/ronde/{ronde,training}.h | tr -d '\t')
{
	cat <<-'END'
		#include <ronde/ronde.h>
		#include <stdio.h>
		#define PRINT(name, value, ...) printf("RONDE_" #name " = %d\n", value);
		int main(void) {
		RONDE_STATUS_MAP(PRINT) RONDE_DTYPE_MAP(PRINT) RONDE_REDUCTION_MAP(PRINT)
	END
	for constant in $constants; do
		printf 'printf("%s = %%d\\n", %s);\n' "$constant" "$constant"
	done
	echo 'return 0; }'
} >"$folder/constants.c"
gcc -Ibindings/c -o "$folder/constants" "$folder/constants.c"
wrong=$("$folder/constants" | while read -r line; do
	grep -qxE " *enumerator :: $line" $module || echo "$line"
done)
if [ -z "$wrong" ]; then
	echo "ok constants"
else
	echo "Add to its list of enumerators in $module, and to ronde.F90's public names: $wrong"
	echo "not ok constants - see above"
fi

if ! command -v gfortran >/dev/null; then
	echo "skip operations - gfortran is missing"
	exit
fi

# The structs: as many bytes on both sides.
structs=$(sed -n 's/^ *type, bind(c) :: c_\([a-z_]*\)$/\1/p' $module)
{
	printf '#include <ronde/ronde.h>\n#include <stdio.h>\nint main(void) {\n'
	for struct in $structs; do
		printf 'printf("%s %%zu\\n", sizeof(ronde_%s));\n' "$struct" "$struct"
	done
	echo 'return 0; }'
} >"$folder/sizes.c"
{
	printf 'program sizes\n use ronde_c\n'
	for struct in $structs; do
		echo " type(c_$struct) :: x_$struct"
	done
	for struct in $structs; do
		echo " print '(a, 1x, i0)', '$struct', c_sizeof(x_$struct)"
	done
	echo 'end program'
} >"$folder/sizes.f90"
gcc -Ibindings/c -o "$folder/sizes-c" "$folder/sizes.c"
gfortran -J "$folder" -o "$folder/sizes-fortran" $module "$folder/sizes.f90"
"$folder/sizes-c" >"$folder/c"
"$folder/sizes-fortran" >"$folder/fortran"
if cmp -s "$folder/c" "$folder/fortran"; then
	echo "ok structs"
else
	diff "$folder/c" "$folder/fortran" || true
	echo "not ok structs - bytes in ronde.h (<) and in $module (>) differ: add the new fields at the end of type c_…"
fi

# A status in the place of the process set does not compile; by its name it does.
modules=$(find "$BUILD/bindings/fortran" -name ronde.mod -printf '%h' -quit)
for how in status status=status; do
	cat >"$folder/named.f90" <<-END
		program named
		use ronde
		integer :: status, x(2)
		x = 0
		call ronde_broadcast("x", x, 0, $how)
		call ronde_allreduce("x", x, RONDE_SUM, $how)
		call ronde_join($([ $how = status ] && echo x\(1\),) $how)
		end program
	END
	if gfortran -I "$modules" -fsyntax-only "$folder/named.f90" >"$folder/said" 2>&1; then
		echo "$how" >>"$folder/compiles"
	fi
	cp "$folder/said" "$folder/said-$how"
done
if [ "$(cat "$folder/compiles" 2>/dev/null)" = status=status ] &&
	[ "$(grep -c '^Error:' "$folder/said-status")" = 3 ]; then
	echo "ok by-name"
else
	cat "$folder"/said-*
	echo "not ok by-name - see above"
fi

[ -x "$program" ] || {
	echo "skip operations - $program is not built: -Dfortran=enabled -Dtests=enabled"
	exit
}
for ranks in 1 2 3; do
	pids=()
	status=0
	for ((rank = 0; rank < ranks; rank++)); do
		RONDE_RANK=$rank RONDE_SIZE=$ranks RONDE_ADDRESS=ronde-fortran-$$-$ranks \
			timeout 60 "$program" >"$folder/out.$rank" 2>&1 </dev/null &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do
		wait "$pid" || status=$?
	done
	if [ $status = 0 ]; then
		echo "ok operations-$ranks"
	else
		cat "$folder"/out.*
		echo "not ok operations-$ranks - status $status, see above"
	fi
done

# Errors, as each rank's program sees them: under mpirun if it is there, else with no MPI.
errors=$BUILD/tests/fortran-errors
run_errors()
{
	if command -v mpirun >/dev/null && [ -e "$BUILD/collectives/mpi/ronde_mpi.so" ]; then
		OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
			timeout 60 mpirun --oversubscribe -np 3 "$errors" "$@" >"$folder/errors" 2>&1 </dev/null
		return
	fi
	local rank failed=0
	for rank in 0 1 2; do
		RONDE_RANK=$rank RONDE_SIZE=3 RONDE_ADDRESS=ronde-fortran-$$-errors \
			timeout 60 "$errors" "$@" >>"$folder/errors" 2>&1 </dev/null &
	done
	for rank in 0 1 2; do
		wait -n || failed=1
	done
	return $failed
}
if run_errors; then
	echo "ok errors"
else
	cat "$folder/errors"
	echo "not ok errors - see above"
fi
text='ERROR STOP tensor "layer": ranks 0-1 submitted float32[3,4], rank 2 submitted float32[4,3]'
rm -f "$folder/errors"
if ! run_errors stop && grep -qF "$text" "$folder/errors"; then
	echo "ok error-stop"
else
	cat "$folder/errors"
	echo "not ok error-stop - the program does not fail, or does not say: $text"
fi
