#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The reference is made from the public headers without one warning: everything public is documented.
set -euo pipefail

"$MESON" compile -C "$BUILD" reference
page=$BUILD/docs/reference/html/ronde_8h.html
for item in ronde_allreduce_async RONDE_ERR_MISMATCH RONDE_BFLOAT16 RONDE_AVERAGE; do
	grep -q "$item" "$page" || { echo "the reference says nothing about $item"; exit 1; }
done
