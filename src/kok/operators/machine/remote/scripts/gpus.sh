# gpus: NVIDIA's GPUs, as the bus tells of them and, where there is a driver, nvidia-smi
gpus() {
    count=0
    for device in "${KOK_PCI:-/sys/bus/pci/devices}"/*; do
        { read -r vendor <"$device/vendor" && read -r class <"$device/class"; } 2>/dev/null || continue
        case $vendor$class in 0x10de0x0300* | 0x10de0x0302*) count=$((count + 1)) ;; esac
    done
    printf 'gpu count %s\n' "$count"
    [ "$count" -gt 0 ] && has nvidia-smi || return 0
    # It hangs where a GPU does.
    if told=$(timeout 15 nvidia-smi --query-gpu=driver_version,memory.total,name --format=csv,noheader,nounits 2>&1 </dev/null); then
        printf '%s\n' "$told" | head -n 64 | sed 's/^/gpu card /'
    else
        printf 'gpu silent %s\n' "$(printf '%s' "${told:-no answer within 15 s}" | tr '\n' ' ' | cut -c1-300)"
    fi
}

# reboots: which components asked for a boot of the host in the boot that it is in
reboots() {
    boot=$(this_boot) || return 0
    printf 'boot %s\n' "$boot"
    for mark in "$BOOT"/reboots/*; do
        [ -f "$mark" ] && say "reboot ${mark##*/} $(head -c 1000 "$mark" | encoded)"
    done
    return 0
}
