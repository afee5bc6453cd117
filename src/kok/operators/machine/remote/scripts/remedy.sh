# What is tried of a host that is not well: before it come KOK_HUNG (yes: services answer nothing, and
# would not end when asked to) and KOK_BOOT (the boot that a reboot is to end).

# again UNIT: starts a service anew, also one that somebody switched off
again() {
    step "restarting $1"
    case $(systemctl is-enabled "$1" 2>/dev/null) in
        masked*) systemctl unmask --quiet "$1" ;;
    esac
    # Without a reload of the manager, by which running containers may lose their GPUs.
    systemctl is-enabled --quiet "$1" 2>/dev/null || systemctl enable --no-reload --quiet "$1" 2>&1
    if [ "$KOK_HUNG" = yes ]; then
        process=$(systemctl show -p MainPID "$1" 2>/dev/null | sed -n 's/^MainPID=//p')
        [ "${process:-0}" -le 1 ] || kill -KILL "$process" 2>/dev/null
    fi
    systemctl reset-failed "$1" 2>/dev/null
    systemctl restart "$1" || finish 1 JobFailed "service $1 cannot be started: $(systemctl show -p Result "$1" 2>/dev/null)"
    # One that ends at once has started, as far as the manager is concerned.
    for _ in 1 2 3 4; do
        sleep 0.25
        case $(systemctl show -p SubState "$1" 2>/dev/null) in
            *SubState=auto-restart* | *SubState=failed*) finish 1 JobFailed "service $1 ends as soon as it is started" ;;
        esac
    done
}

# Once, and not a host that has been rebooted since by anybody.
reboot_host() {
    step rebooting
    boot=$(cat "${KOK_BOOT_ID:-/proc/sys/kernel/random/boot_id}")
    [ "$boot" = "$KOK_BOOT" ] || finish 0 Done "the host was rebooted meanwhile"
    # Not waited for, and it holds no lock: a file system that hangs may be what is wrong.
    sync 8>&- 9>&- &
    systemctl --no-block reboot || finish 1 JobFailed "the host cannot be rebooted"
    finish 0 Done ''
}
