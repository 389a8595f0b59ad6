#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Looks at the machine code of all objects: wide registers stay in the kernels compiled for them
# (elsewhere they would be illegal instructions on an older processor), and no kernel has a fused
# multiply-add (its bits would differ) or AVX512-BF16 (it takes denormals for zeros). Usage: kernel_objects.sh OBJDUMP ARCHIVE...
set -eu
objdump=$1
shift

"$objdump" -d --no-show-raw-insn "$@" | awk '
	/file format/ { set = "baseline" }
	/libronde-kernels-avx2/ && /file format/ { set = "avx2" }
	/libronde-kernels-avx512/ && /file format/ { set = "avx512" }
	/file format/ { file = $1; seen[set]++; next }
	/%ymm/ { ymm[set]++ }
	/%zmm/ { zmm[set]++ }
	/%[yz]mm/ && set == "baseline" { print "wide register in " file ": " $0; bad = 1 }
	/%zmm|%k[0-7]/ && set == "avx2" { print "AVX-512 in " file ": " $0; bad = 1 }
	/vfn?m(add|sub)/ { print "fused multiply-add in " file ": " $0; bad = 1 }
	/vcvtne2?ps2bf16|vdpbf16ps/ { print "AVX512-BF16 in " file ": " $0; bad = 1 }
	END {
		if (seen["baseline"] < 4 || !ymm["avx2"] || !zmm["avx512"]) {
			print "this test does not see the objects it is about"
			bad = 1
		}
		exit bad
	}'
