################################################################################
#
# motherstream-srs
#
################################################################################

# Upstream's binary. scripts/srs takes it out of upstream's container image and
# holds it against srs.lock; motherstream.mk in the output folder names it. With
# MOTHERSTREAM_SRS_BINARY = none the image has no SRS, and the program takes
# RTMP itself. Its configuration is put there by image/post-build.
MOTHERSTREAM_SRS_VERSION = $(or $(MOTHERSTREAM_SRS_BINARY_VERSION),unset)
MOTHERSTREAM_SRS_SOURCE =
# SRS, and what is linked into upstream's binary: State Threads, OpenSSL,
# libsrtp, SRT, FFmpeg's libraries for sound.
MOTHERSTREAM_SRS_LICENSE = MIT, MPL-1.1 or GPL-2.0+ (State Threads), \
	Apache-2.0 (OpenSSL), BSD-3-Clause (libsrtp), MPL-2.0 (SRT), \
	LGPL-2.1+ (FFmpeg)

ifneq ($(MOTHERSTREAM_SRS_BINARY),none)

define MOTHERSTREAM_SRS_EXTRACT_CMDS
	$(MOTHERSTREAM_TOOL) take srs "$(MOTHERSTREAM_SRS_BINARY)" \
		"$(MOTHERSTREAM_SRS_BINARY_SHA256)" $(@D)/srs
endef

define MOTHERSTREAM_SRS_BUILD_CMDS
	$(MOTHERSTREAM_TOOL) check $(TARGET_READELF) $(STAGING_DIR) $(@D)/srs
endef

define MOTHERSTREAM_SRS_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 0755 $(@D)/srs $(TARGET_DIR)/usr/bin/srs
endef

define MOTHERSTREAM_SRS_CHECK_TARGET
	$(MOTHERSTREAM_TOOL) check $(TARGET_READELF) $(TARGET_DIR) \
		$(TARGET_DIR)/usr/bin/srs $(MOTHERSTREAM_SRS_BINARY_SHA256)
endef

else

# One that an earlier build with SRS left there.
define MOTHERSTREAM_SRS_CHECK_TARGET
	rm -f $(TARGET_DIR)/usr/bin/srs
endef

endif

MOTHERSTREAM_SRS_TARGET_FINALIZE_HOOKS += MOTHERSTREAM_SRS_CHECK_TARGET

$(eval $(generic-package))
