#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# No script gives shellcheck anything to say.
set -euo pipefail
. tests/lib.sh

mapfile -t scripts < <(project_files '*.sh' run long cluster |
	while read -r file; do
		if [[ $file == *.sh ]] || head -n 1 "$file" | grep -q '^#!.*sh$'; then
			echo "$file"
		fi
	done)
shellcheck --external-sources --exclude=SC1091 "${scripts[@]}"
