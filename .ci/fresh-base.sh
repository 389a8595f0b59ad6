#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the minimal Debian of .ci/fresh.sh in a folder, with two copies of what is committed here.
# Mirror, proxy and certificates are the host's: this script knows no address.
#
# usage: .ci/fresh-base.sh ROOT CACHE USER        exit 77: no mirror is known
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

root=$1
cache=$2
user=$3
release=bookworm

# What apt itself makes of its configuration, whatever the format of its files.
# shellcheck disable=SC2016  # apt's own variables
sources=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Identifier: Packages' |
	awk -v release=$release '$2 == release || $2 ~ "^" release "-"' | sort -u)
mirror=$(awk -v release=$release '$2 == release { print $1; exit }' <<<"$sources")
if [ -z "$mirror" ]; then
	echo "apt's configuration on this machine names no mirror of $release"
	exit 77
fi

# The bare system is kept for a week; then it is made anew, with the week's updates. The packages it
# is made of are kept too.
key=$(printf '%s\n' "$sources" "$(dpkg --print-architecture)" "$(date +%G-%V)" | sha256sum)
base=$cache/base-${key:0:16}.tar
mkdir -p "$cache/debs" "$cache/archives" "$root"
if [ ! -e "$base" ]; then
	rm -f "$cache"/base-*.tar
	find "$cache/debs" "$cache/archives" -name '*.deb' -mtime +60 -delete
	debootstrap --variant=minbase --cache-dir="$(realpath "$cache/debs")" $release "$root" "$mirror"
	tar -C "$root" --numeric-owner -cf "$base.part" .
	mv "$base.part" "$base"
else
	tar -C "$root" --numeric-owner -xpf "$base"
fi

awk '{ print "deb " $0 }' <<<"$sources" >"$root/etc/apt/sources.list"
apt_conf=$root/etc/apt/apt.conf.d/99host
apt-config dump | grep -E '^Acquire::(Check-|Retries|https?::|ftp::)' |
	grep -v -e Auto-Detect -e CAInfo >"$apt_conf" || true
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
	cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/apt/host-certificates.crt"
	echo 'Acquire::https::CAInfo "/etc/apt/host-certificates.crt";' >>"$apt_conf"
fi
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
# Only for speed: a power cut may lose this system.
echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe-io"

chroot "$root" useradd --create-home --shell /bin/bash "$user"
for home in /root "/home/$user"; do
	mkdir "$root$home/ronde"
	git archive HEAD | tar -C "$root$home/ronde" -xf -
done
chroot "$root" chown -R "$user:" "/home/$user"
