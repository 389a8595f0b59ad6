#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Meson installs no compiled Fortran modules.
#
# usage: install-modules.sh FOLDER-OF-THE-BUILD FOLDER-IN-THE-PREFIX
set -eu
to=$MESON_INSTALL_DESTDIR_PREFIX/$2
mkdir -p "$to"
find "$1" -name '*.mod' -exec install -m 644 {} "$to" \;
