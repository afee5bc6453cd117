ctr=/usr/local/bin/ctr
tasks() { "$ctr" --connect-timeout 5s -n k8s.io tasks list -q 2>/dev/null || true; }
if [ -x "$ctr" ] && systemctl is-active --quiet containerd; then
    for task in $(tasks); do "$ctr" -n k8s.io tasks kill -a -s SIGKILL "$task" 2>/dev/null || true; done
    for _ in $(seq 50); do [ -z "$(tasks)" ] && break; sleep 0.1; done
    for task in $(tasks); do "$ctr" -n k8s.io tasks delete -f "$task" 2>/dev/null || true; done
    for container in $("$ctr" -n k8s.io containers list -q 2>/dev/null || true); do
        "$ctr" -n k8s.io containers delete "$container" 2>/dev/null || true
    done
fi
systemctl disable --no-reload --now --quiet containerd 2>/dev/null || true
# Shims outlive containerd by design.
for pid in $(pgrep -f '^/usr/local/bin/containerd-shim-runc-v2 -namespace k8s.io ' || true); do
    kill -KILL "$pid" 2>/dev/null || true
done
unmount_below() {
    mounts() { awk -v below="$1/" 'index($2, below) == 1 {print $2}' /proc/mounts | sort -r; }
    mounts "$1" | while read -r mount; do
        # A part of it may have a disk of its own, on which that would only be hidden.
        case ${mount#"$1/"} in
        */* | *[!a-z0-9.]*) ;;
        io.containerd.*) find "$mount" -xdev -mindepth 1 -delete || true ;;
        esac
        mount=$(printf %b "$mount")
        umount "$mount" 2>/dev/null || umount -l "$mount" 2>/dev/null || true
    done
}
# The directories themselves may be mounts of the host's own. Where one is a link, whoever runs this
# script looks after what it leads to.
empty() {
    [ -d "$1" ] && [ ! -L "$1" ] || return 0
    really=$(readlink -f "$1")
    unmount_below "$really"
    find "$really" -xdev -mindepth 1 -delete || true
    rmdir "$1" 2>/dev/null || true
}
empty /run/containerd
empty /var/lib/containerd
rm -f /usr/local/bin/containerd /usr/local/bin/containerd-shim-runc-v2 /usr/local/bin/containerd-stress /usr/local/bin/ctr
rm -rf /etc/containerd /opt/containerd /etc/systemd/system/containerd.service
forget_units containerd
