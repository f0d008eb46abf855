#!/bin/sh
# Called by Buildroot with the folder of images, and the board's name. The
# card's image and the update bundle are put together by image/post-image, with
# the tools that Buildroot built.
set -eu
# make hands the package's version on under this name, which is not the image's.
unset MOTHERSTREAM_VERSION
if [ -f "${CONFIG_DIR}/image-version" ]; then
	MOTHERSTREAM_VERSION=$(cat "${CONFIG_DIR}/image-version")
	export MOTHERSTREAM_VERSION
fi
exec "$(dirname "$0")/../../image/post-image" "$1" "$2"
