# U-Boot's part (Raspberry Pi 4, qemu): which slot, how often, and with which words for the kernel. Compiled to boot.scr.
# RAUC writes the same variables from the running system (fw_env.config). They fill one sector of the raw partition bootstate, which a
# card writes whole or not at all: a power cut leaves the old state or the new one.
test -n "${devtype}" || setenv devtype mmc
test -n "${devnum}" || setenv devnum 0
setexpr state_addr ${scriptaddr} + 0x100000
setenv BOOT_ORDER
setenv BOOT_A_LEFT
setenv BOOT_B_LEFT
${devtype} dev ${devnum}
part start ${devtype} ${devnum} bootstate state_sector
${devtype} read ${state_addr} ${state_sector} 1
env import -c ${state_addr} 0x200 BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT
# A slot that was marked good has 6 tries to 1; 9 and 8 are a new one's two (RAUC's boot-attempts-primary). At 7 both of those have failed.
test "${BOOT_A_LEFT}" != 7 || setenv BOOT_A_LEFT 0
test "${BOOT_B_LEFT}" != 7 || setenv BOOT_B_LEFT 0
# Unreadable: either may be the one that works.
test -n "${BOOT_ORDER}" || setenv BOOT_ORDER "A B"
test -n "${BOOT_A_LEFT}" || setenv BOOT_A_LEFT 3
test -n "${BOOT_B_LEFT}" || setenv BOOT_B_LEFT 3

setenv slot
for candidate in ${BOOT_ORDER}; do
  if test -n "${slot}"; then
    true
  elif test "${candidate}" = A; then
    if test ${BOOT_A_LEFT} -gt 0; then
      setexpr BOOT_A_LEFT ${BOOT_A_LEFT} - 1
      setenv slot A
      setenv part_name root-a
    fi
  elif test "${candidate}" = B; then
    if test ${BOOT_B_LEFT} -gt 0; then
      setexpr BOOT_B_LEFT ${BOOT_B_LEFT} - 1
      setenv slot B
      setenv part_name root-b
    fi
  fi
done
if test -z "${slot}"; then
  # Both used up: better to go on trying than to stand still. A venue can still pull the plug. The older one first: the first in order was
  # the last to be installed. Neither is on trial, so that nothing but the program's own troubles starts the box again.
  echo "motherstream: no slot has a try left, beginning again"
  if test "${BOOT_ORDER}" = "B A"; then
    setenv BOOT_ORDER "A B"
  else
    setenv BOOT_ORDER "B A"
  fi
  setenv BOOT_A_LEFT 3
  setenv BOOT_B_LEFT 3
  env export -c -s 0x200 ${state_addr} BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT
  ${devtype} write ${state_addr} ${state_sector} 1
  reset
fi
env export -c -s 0x200 ${state_addr} BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT
${devtype} write ${state_addr} ${state_sector} 1

echo "motherstream: slot ${slot}, left A ${BOOT_A_LEFT} B ${BOOT_B_LEFT}"
part number ${devtype} ${devnum} ${part_name} part_number
# gpt: a partition table that was torn is read from its copy at the card's end. rootwait: a root that does not come in 30 s is a failed try.
setenv bootargs "root=PARTLABEL=${part_name} rootfstype=ext4 ro rootwait=30 rauc.slot=${slot} gpt panic=10 quiet"
setenv from "${devtype} ${devnum}:${part_number}"
if test -e ${from} /boot/board.txt; then
  # What this version adds: the board's console, and what a test wants.
  load ${from} ${state_addr} /boot/board.txt && env import -t ${state_addr} ${filesize} board_args && setenv bootargs "${bootargs} ${board_args}"
fi
setenv fdt ${fdt_addr}
test -n "${fdt}" || setenv fdt ${fdtcontroladdr}
if load ${from} ${kernel_addr_r} /boot/Image; then
  if load ${from} ${ramdisk_addr_r} /boot/initrd; then
    booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdt}
  else
    booti ${kernel_addr_r} - ${fdt}
  fi
fi
# This slot does not even start: the next one has its turn, or this one its second try.
echo "motherstream: slot ${slot} does not start"
sleep 1
reset
