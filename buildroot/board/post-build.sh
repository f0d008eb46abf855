#!/bin/sh
# Called by Buildroot with the root file system, and the board's name
# (BR2_ROOTFS_POST_SCRIPT_ARGS). What is done is the same for every way of
# building the root: image/post-build.
set -eu
# make hands the package's version on under this name, which is not the image's.
unset MOTHERSTREAM_VERSION
if [ -f "${CONFIG_DIR}/image-version" ]; then
	MOTHERSTREAM_VERSION=$(cat "${CONFIG_DIR}/image-version")
	export MOTHERSTREAM_VERSION
fi
exec "$(dirname "$0")/../../image/post-build" "$1" "$2"
