################################################################################
#
# motherstream
#
################################################################################

# The binary is not made here: motherstream.mk in the output folder names the
# file and its hash. Another binary is another version, so that Buildroot
# installs it without being told.
MOTHERSTREAM_VERSION = $(or $(MOTHERSTREAM_BINARY_VERSION),unset)
MOTHERSTREAM_SOURCE =
MOTHERSTREAM_LICENSE = MIT
MOTHERSTREAM_LICENSE_FILES = LICENSE
MOTHERSTREAM_DEPENDENCIES = gstreamer1 gst1-plugins-base
MOTHERSTREAM_TOOL = $(BR2_EXTERNAL_MOTHERSTREAM_PATH)/scripts/binary

define MOTHERSTREAM_EXTRACT_CMDS
	$(MOTHERSTREAM_TOOL) take motherstream "$(MOTHERSTREAM_BINARY)" \
		"$(MOTHERSTREAM_BINARY_SHA256)" $(@D)/motherstream
	cp $(BR2_EXTERNAL_MOTHERSTREAM_PATH)/../LICENSE $(@D)/LICENSE
endef

# What it needs of the C library and of others must be there, in these
# versions.
define MOTHERSTREAM_BUILD_CMDS
	$(MOTHERSTREAM_TOOL) check $(TARGET_READELF) $(STAGING_DIR) \
		$(@D)/motherstream
endef

define MOTHERSTREAM_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 0755 $(@D)/motherstream \
		$(TARGET_DIR)/usr/bin/motherstream
endef

# Once more on what really goes into the image.
define MOTHERSTREAM_CHECK_TARGET
	$(MOTHERSTREAM_TOOL) check $(TARGET_READELF) $(TARGET_DIR) \
		$(TARGET_DIR)/usr/bin/motherstream $(MOTHERSTREAM_BINARY_SHA256)
endef
MOTHERSTREAM_TARGET_FINALIZE_HOOKS += MOTHERSTREAM_CHECK_TARGET

$(eval $(generic-package))
