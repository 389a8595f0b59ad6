#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# docs/setup-lib.sh installs only what is missing, and where it cannot it says the command that would.
# Tried with programs of our own for dpkg-query, apt-get, id and sudo.
set -euo pipefail
export box
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
mkdir "$box/bin"
for program in bash sh env cat grep sed paste tail mktemp rm mkdir; do
	ln -s "$(command -v $program)" "$box/bin/"
done

# fake NAME TEXT
fake()
{
	printf '#!/bin/sh\n%s\n' "$2" >"$box/bin/$1"
	chmod +x "$box/bin/$1"
}

# call FUNCTION ARGUMENT...: what the library says, in $said, and its exit status, in $status.
call()
{
	status=0
	: >"$box/calls"
	said=$(PATH=$box/bin setup_os_release=$box/os-release setup_datasets=$box/share \
		bash -c '. docs/setup-lib.sh; "$@"' script "$@" 2>&1 </dev/null) || status=$?
}

# attempt PURPOSE...
attempt()
{
	call setup_install "$@"
}

# expect NAME CONDITION...
expect()
{
	local name=$1
	shift
	if "$@"; then
		echo "ok $name"
	else
		printf 'status %s, calls:\n%s\nsaid:\n%s\n' "$status" "$(cat "$box/calls")" "$said"
		echo "not ok $name - see above"
	fi
}

says()
{
	[ "$status" = "$1" ] && [[ $said == *"$2"* ]] && [[ $(cat "$box/calls") == *"${3:-}"* ]]
}

printf 'ID=debian\nVERSION_ID="12"\n' >"$box/os-release"
fake dpkg-query 'echo installed'
# shellcheck disable=SC2016  # the programs expand it
# shellcheck disable=SC2016
fake apt-get 'echo "apt-get $*" >>"$box/calls"; [ ! -e "$box/broken" ] && : >"$box/installed" || { echo no net; exit 100; }'

attempt build
expect nothing-missing test "$status$said$(cat "$box/calls")" = 0

# shellcheck disable=SC2016
fake dpkg-query '[ -e "$box/installed" ] || [ "$4" != ninja-build ] && echo installed'
fake id 'echo 1000'
attempt build
expect no-rights says 1 'apt-get install --no-install-recommends ninja-build'
expect no-rights-no-attempt test -z "$(cat "$box/calls")"

fake id 'echo 0'
attempt build
expect as-root says 0 'installing 1 packages' '--reinstall'
expect updates-first test "$(sed -n '1s/.* //p' "$box/calls")" = update

rm "$box/installed"
fake id 'echo 1000'
# shellcheck disable=SC2016
fake sudo 'echo "sudo $*" >>"$box/calls"; [ "$1" = -n ] && exit 0; exec "$@"'
attempt build
expect through-sudo says 0 'installing 1 packages' 'sudo env'
fake sudo 'exit 1'
rm "$box/installed"
attempt build
expect sudo-wants-password says 1 'As root, run'

fake id 'echo 0'
touch "$box/broken"
attempt build
expect apt-fails says 1 'no net'
expect apt-fails-status says 1 'status 100'
rm "$box/broken"

# Data that dpkg was told not to unpack counts as missing.
touch "$box/installed"
attempt data
expect data-dropped says 1 'not complete'
expect data-included says 1 '' 'path-include=/usr/share/doc/libfann-dev/*'

printf 'ID=ubuntu\nVERSION_ID="24.04"\nPRETTY_NAME="Ubuntu 24.04"\n' >"$box/os-release"
attempt build
expect other-system says 1 'this is Ubuntu 24.04'
expect other-system-needs says 1 'libhwloc-dev'
rm "$box/os-release"
attempt build
expect no-os-release says 1 'an unknown system'

call setup_mpirun
expect no-mpirun says 1 'apt-get install openmpi-bin'
fake mpirun 'exit 0'
# shellcheck disable=SC2016
call eval 'setup_mpirun; echo "$mpirun"'
expect an-mpirun test "$status $said" = "0 $box/bin/mpirun"
fake mpirun.openmpi 'exit 0'
# shellcheck disable=SC2016
call eval 'setup_mpirun; echo "$mpirun"'
expect open-mpi-first test "$status $said" = "0 $box/bin/mpirun.openmpi"
