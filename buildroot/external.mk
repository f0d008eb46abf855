# Which binaries go into the image, with their hashes: Buildroot makes neither
# of them. scripts/image writes this file; docs/building.md says how to write
# it by hand.
-include $(BASE_DIR)/motherstream.mk

include $(sort $(wildcard $(BR2_EXTERNAL_MOTHERSTREAM_PATH)/package/*/*.mk))
