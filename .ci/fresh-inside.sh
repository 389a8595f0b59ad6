#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs one bash command line inside the Debian of .ci/fresh.sh, in the checkout of a user there. For
# anybody but root: on one core and without CAP_SYS_PTRACE. /dev/shm has 64 MiB. Mounts and
# processes are gone when the command ends. Its output is indented, so that nobody takes the closing
# line of a test run in there for ours.
#
# usage: .ci/fresh-inside.sh ROOT CACHE USER COMMAND
set -euo pipefail

root=$1
cache=$2
user=$3
command=$4

home=/root
as=()
if [ "$user" != root ]; then
	home=/home/$user
	core=$(sed -n 's/^Cpus_allowed_list:\t\([0-9]*\).*/\1/p' /proc/self/status)
	as=(taskset -c "$core" setpriv --reuid "$user" --regid "$user" --clear-groups
		--bounding-set -sys_ptrace --inh-caps -sys_ptrace)
fi
# A new login's environment, and how to reach the network.
environment=(HOME="$home" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
	LANG=C.UTF-8)
for variable in CI http_proxy https_proxy no_proxy; do
	[ -z "${!variable-}" ] || environment+=("$variable=${!variable}")
done

mkdir -p "$cache/archives"
# shellcheck disable=SC2016  # the inner shell expands it
unshare --mount --pid --fork --kill-child bash -euc '
	root=$1 archives=$2 folder=$3
	shift 3
	mount --rbind /dev "$root/dev"
	mount -t tmpfs -o size=64m,mode=1777 shm "$root/dev/shm"
	mount -t proc proc "$root/proc"
	mount --rbind /sys "$root/sys"
	mount --bind "$archives" "$root/var/cache/apt/archives"
	exec chroot "$root" env --chdir="$folder" "$@"
' inside "$root" "$cache/archives" "$home/ronde" \
	"${as[@]}" env -i "${environment[@]}" bash -c "$command" </dev/null 2>&1 | sed -u 's/^/  /'
