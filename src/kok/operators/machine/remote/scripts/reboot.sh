# Boots the host, once: KOK_BOOT, the boot that is to end, comes before it.
owned
[ "$(this_boot)" = "$KOK_BOOT" ] || exit 0
if [ ! -e "$BOOT/rebooting" ]; then
    : >"$BOOT/rebooting"
    # Not waited for: a file system that hangs, such as one of a server that is gone, may be the reason.
    sync >/dev/null 2>&1 &
    # Of a host that cannot, the next attempt is to hear.
    systemctl --no-block reboot || { rm -f "$BOOT/rebooting"; exit 1; }
fi
# What ends this is the boot.
sleep 75
rm -f "$BOOT/rebooting"
echo "the host has not gone down within 75 s" >&2
exit 1
