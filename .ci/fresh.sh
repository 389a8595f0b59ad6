#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Proves in a minimal Debian 12, made from nothing, that every command of the README works as pasted:
#   root    with no OMPI_* variable, nothing installed but what debootstrap's minbase brings
#   dancer  an ordinary user once the packages are there, on one core, without CAP_SYS_PTRACE
# Both with 64 MiB of /dev/shm. The Debian is a folder, entered with chroot.
#
# usage: .ci/fresh.sh [--keep]      --keep: leave the folder for a look, and print its name
# environment: RONDE_CACHE  where downloads are kept (default: $XDG_CACHE_HOME/ronde)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. docs/setup-lib.sh
. tests/lib.sh

keep=
[ "${1-}" != --keep ] || keep=1

results_open
if ! why=$(unshare --mount --pid --fork chroot / true 2>&1); then
	result skip fresh "no right to make namespaces and change the root folder here: $why"
	results_close
	exit
fi
setup_install fresh

cache=${RONDE_CACHE:-${XDG_CACHE_HOME:-${HOME:-/var/cache}/.cache}/ronde}
mkdir -p "$cache"
exec 9>"$cache/lock"
flock --nonblock 9 || { echo "waiting for another run that uses $cache"; flock 9; }
work=$(mktemp -d "${TMPDIR:-/var/tmp}/ronde-fresh.XXXXXX")
logs=$work/logs
mkdir "$logs"
if [ -z "$keep" ]; then
	trap 'rm -rf --one-file-system "$work"' EXIT
else
	echo "kept: $work"
fi

# The README's commands: a fenced block of sh is pasted whole.
awk -v prefix="$work/block-" '
	/^```sh$/ { n++; on = 1; next }
	/^```$/ { on = 0 }
	on { print > (prefix n) }
' README.md

# again USER NAME COMMAND: once more where it has been. The network has to name 90 % of the pictures
# rightly, else the command fails. The tests come again in one configuration only: what is to be seen
# is that a second run finds its way in what the first has left.
again()
{
	run_check "fresh/$1/again-$2" 3600 .ci/fresh-inside.sh "$work/root" "$cache" "$1" "$3"
}

run_check fresh/debootstrap 1800 .ci/fresh-base.sh "$work/root" "$cache" dancer
if [ "$(tail -n 1 "$RONDE_RESULTS" | cut -f1)" = ok ]; then
	for user in root dancer; do
		for block in "$work"/block-*; do
			command=$(cat "$block")
			name=fresh/$user/$(head -n 1 <<<"$command" | tr -sc '[:alnum:].\n' -)
			start=$SECONDS
			run_check "$name" 3600 \
				.ci/fresh-inside.sh "$work/root" "$cache" $user "set -e; $command"
			printf '      %d s; %s\n' $((SECONDS - start)) \
				"$(tail -n 1 "$logs/${name//\//-}.log")"
		done
	done
	again root quickstart 'docs/quickstart.sh --target-accuracy=0.9'
	again dancer quickstart 'docs/quickstart.sh --target-accuracy=0.9'
	again root tests 'tests/run.sh --quick'
fi
results_close
