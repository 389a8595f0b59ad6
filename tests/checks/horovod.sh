#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# docs/horovod.md names only what exists: functions, tests and their cases, variables; and all of
# Horovod's variables that Ronde reads.
# shellcheck disable=SC2016  # the page's own quotes
set -euo pipefail
page=docs/horovod.md
wrong=0

say()
{
	echo "$page: $*"
	wrong=1
}

while read -r function; do
	grep -qE "\b$function\(" bindings/c/ronde/*.h || say "there is no $function()"
done < <(grep -oE '`ronde_[a-z0-9_]+\(' $page | tr -d '`(' | sort -u)

# "`check_x` (a, b)", and shell tests by their path.
while read -r suite; do
	[ -e "tests/$suite.c" ] || say "there is no tests/$suite.c"
done < <(grep -oE '`check_[a-z0-9_]+`' $page | tr -d '`' | sort -u)
while read -r suite case; do
	grep -qE "\b$case\b" "tests/$suite.c" || say "tests/$suite.c has no case $case"
done < <(grep -oE '`check_[a-z0-9_]+` \([a-z0-9_, ]+\)' $page | tr -d '`(),' |
	awk '{ for (i = 2; i <= NF; i++) print $1, $i }')
while read -r path; do
	[ -e "$path" ] || say "there is no $path"
done < <(grep -oE '`tests/[a-z0-9_/.-]+`' $page | tr -d '`' | sort -u)

read_here=$(grep -oE '"HOROVOD_[A-Z0-9_]+"' coordinator/config.h | tr -d '"' | sort -u)
mapped=$(grep -oE '^\| `HOROVOD_[A-Z0-9_]+` \| `RONDE_[A-Z0-9_]+` \|' $page | grep -oE 'HOROVOD_[A-Z0-9_]+' |
	sort -u)
[ "$read_here" = "$mapped" ] || say "Horovod's variables that are read: ${read_here//$'\n'/ }"
without=$(sed -n '/^Accepted/,$p' $page | grep -oE 'HOROVOD_[A-Z0-9_]+' | sort -u)
tested=$(sed -n '/without_effect\[\]/,/;/p' tests/check_config.c | grep -oE 'HOROVOD_[A-Z0-9_]+' | sort -u)
[ "$without" = "$tested" ] || say "tests/check_config.c shows that these have no effect: ${tested//$'\n'/ }"
exit $wrong
