#!/bin/sh
# Called by Buildroot with the root file system, after owners and modes are set.
# No program runs as somebody else than who starts it: busybox and mount come
# with the set-user-id bit. D-Bus keeps its helper, which D-Bus alone may run.
set -eu
find "$1" -xdev -type f -perm /6000 ! -name dbus-daemon-launch-helper \
	-exec chmod ug-s {} +
# systemd's table leaves /boot to root alone. The program, which is not root,
# reads the boot partition below it.
chmod 755 "$1/boot"
