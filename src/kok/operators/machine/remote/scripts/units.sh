# Where systemd reads its units anew, containers that run may lose their GPUs: it does so only where a unit
# is another in its memory than on the disk.

# reread_units UNIT...: has systemd know these as their files are by now; before they are started
reread_units() {
    case $(systemctl show -p LoadState -p NeedDaemonReload "$@" 2>/dev/null) in
    *NeedDaemonReload=yes* | *LoadState=not-found*) ;;
    *NeedDaemonReload=no*) return 0 ;;
    esac
    systemctl daemon-reload
}

# forget_units UNIT...: has systemd forget these, which are stopped and whose files are gone
forget_units() {
    case $(systemctl show -p NeedDaemonReload "$@" 2>/dev/null) in
    *NeedDaemonReload=yes*) systemctl daemon-reload ;;
    esac
}

