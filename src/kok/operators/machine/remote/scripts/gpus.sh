# nvidia_gpus: how many GPUs of NVIDIA the bus tells of; its switches, and the sound of a card, are none
nvidia_gpus() {
    gpus=0
    for device in "${KOK_PCI:-/sys/bus/pci/devices}"/*; do
        { read -r vendor <"$device/vendor" && read -r class <"$device/class"; } 2>/dev/null || continue
        case $vendor$class in 0x10de0x0300* | 0x10de0x0302*) gpus=$((gpus + 1)) ;; esac
    done
    echo "$gpus"
}

# gpus: NVIDIA's GPUs, as the bus tells of them and, where there is a driver, nvidia-smi
gpus() {
    count=$(nvidia_gpus)
    printf 'gpu count %s\n' "$count"
    [ "$count" -gt 0 ] && has nvidia-smi || return 0
    answer=$(mktemp -d "${BOOT%/*}/kok-gpus.XXXXXX" 2>/dev/null || mktemp -d /dev/shm/kok-gpus.XXXXXX) || return 0
    # It hangs where a GPU does, in the kernel, where no signal ends it: nothing may wait for it, or for
    # what it writes to.
    { ask_gpus >"$answer/told" 2>&1; echo $? >"$answer/code"; } >/dev/null 2>&1 </dev/null &
    ticks=$((${KOK_GPU_SECONDS:-15} * 10 + 20))
    while [ ! -s "$answer/code" ] && [ "$ticks" -gt 0 ]; do
        ticks=$((ticks - 1))
        sleep 0.1
    done
    case $(cat "$answer/code" 2>/dev/null) in
    0) head -n 64 "$answer/told" | sed 's/^/gpu card /' ;;
    '' | 124 | 137) printf 'gpu silent no answer within %s s\n' "${KOK_GPU_SECONDS:-15}" ;;
    *) printf 'gpu silent %s\n' "$(head -c 4096 "$answer/told" | tr '\n' ' ' | cut -c1-300)" ;;
    esac
    rm -rf "$answer"
}

ask_gpus() {
    timeout -k 1 "${KOK_GPU_SECONDS:-15}" nvidia-smi \
        --query-gpu=driver_version,memory.total,name --format=csv,noheader,nounits
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
