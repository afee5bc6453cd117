# Nobody may start a container again meanwhile.
systemctl disable --no-reload --now --quiet cri-dockerd 2>/dev/null || true
docker=/opt/docker/bin/docker
if [ -x "$docker" ] && systemctl is-active --quiet docker; then
    running=$(timeout 10 "$docker" ps -q 2>/dev/null || true)
    # First politely, then for good.
    [ -z "$running" ] || timeout 20 "$docker" stop -t 5 $running >/dev/null 2>&1 || true
    all=$(timeout 10 "$docker" ps -aq 2>/dev/null || true)
    [ -z "$all" ] || timeout 60 "$docker" rm -f $all >/dev/null 2>&1 || true
fi
systemctl disable --no-reload --now --quiet docker 2>/dev/null || true
ctr() { /opt/docker/bin/ctr --connect-timeout 5s -a /run/docker/containerd/containerd.sock -n moby "$@"; }
tasks() { ctr tasks list -q 2>/dev/null || true; }
if [ -x /opt/docker/bin/ctr ] && systemctl is-active --quiet docker-containerd; then
    for task in $(tasks); do ctr tasks kill -a -s SIGKILL "$task" 2>/dev/null || true; done
    for _ in $(seq 50); do [ -z "$(tasks)" ] && break; sleep 0.1; done
    for task in $(tasks); do ctr tasks delete -f "$task" 2>/dev/null || true; done
fi
systemctl disable --no-reload --now --quiet docker-containerd 2>/dev/null || true
# Shims outlive both by design, and containers their shims.
for pid in $(pgrep -f '^/opt/docker/bin/containerd-shim-runc-v2 -namespace moby ' || true); do
    for child in $(pgrep -P "$pid" || true); do kill -KILL "$child" 2>/dev/null || true; done
    kill -KILL "$pid" 2>/dev/null || true
done
unmount_below() {
    awk -v below="$1/" 'index($2, below) == 1 {print $2}' /proc/mounts | sort -r | while read -r mount; do
        mount=$(printf %b "$mount")
        umount "$mount" 2>/dev/null || umount -l "$mount" 2>/dev/null || true
    done
}
# The directory itself may be a mount of the host's own. Where it is a link, or has disks of its own
# below it, whoever runs this script looks after what that leads to.
for directory in /run/docker /var/lib/docker; do
    [ -d "$directory" ] && [ ! -L "$directory" ] || continue
    really=$(readlink -f "$directory")
    unmount_below "$really"
    find "$really" -xdev -mindepth 1 -delete || true
    rmdir "$directory" 2>/dev/null || true
done
# Where shims have their sockets, whichever containerd started them.
if [ ! -e /run/containerd/containerd.sock ]; then
    rm -rf /run/containerd/s
    rmdir /run/containerd 2>/dev/null || true
fi
[ ! -e /opt/docker/kok/pod-network.sh ] || sh -eu /opt/docker/kok/pod-network.sh
[ ! -e /opt/docker/kok/daemon-json.sh ] || sh -eu /opt/docker/kok/daemon-json.sh undo
rm -f /usr/local/bin/docker /run/docker.sock /run/docker.pid /etc/docker/key.json
rm -rf /opt/docker /etc/docker/kok
rmdir /etc/docker 2>/dev/null || true
rm -f /etc/systemd/system/docker.service /etc/systemd/system/docker-containerd.service
forget_units docker docker-containerd
