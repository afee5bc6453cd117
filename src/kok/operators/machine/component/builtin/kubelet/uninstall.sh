systemctl disable --no-reload --now --quiet kubelet 2>/dev/null || true
# Pods must not outlive the kubelet: first politely, then for good.
ctr=/usr/local/bin/ctr
tasks() { "$ctr" --connect-timeout 5s -n k8s.io tasks list -q 2>/dev/null || true; }
if [ -x "$ctr" ] && systemctl is-active --quiet containerd; then
    for task in $(tasks); do "$ctr" -n k8s.io tasks kill -a -s SIGTERM "$task" 2>/dev/null || true; done
    for _ in $(seq 50); do [ -z "$(tasks)" ] && break; sleep 0.1; done
    for task in $(tasks); do "$ctr" -n k8s.io tasks kill -a -s SIGKILL "$task" 2>/dev/null || true; done
fi
# Whatever becomes of the runtime: one that died, or whose shims did, leaves containers running, which
# would hold mounts and make chains anew.
pods() {
    # A host may be a pod of somebody's itself, and then all that runs here bears that name.
    ! grep -q kubepods /proc/1/cgroup 2>/dev/null || return 0
    grep -l kubepods /proc/[0-9]*/cgroup 2>/dev/null | sed -n 's|^.*/proc/\([0-9]*\)/cgroup$|\1|p' || true
}
for process in $(pods); do kill -KILL "$process" 2>/dev/null || true; done
for _ in $(seq 50); do [ -z "$(pods)" ] && break; sleep 0.1; done
systemctl stop kubepods.slice 2>/dev/null || true
# Where it is a link, whoever runs this script looks after what it leads to. What is mounted below a
# directory of its own the kernel tells by its real name, which links further up may change.
if [ -d /var/lib/kubelet ] && [ ! -L /var/lib/kubelet ]; then
    directory=$(readlink -f /var/lib/kubelet)
    mounts() { awk -v below="$directory/" 'index($2, below) == 1 {print $2}' /proc/mounts | sort -r; }
    mounts | while read -r mount; do
        deeper=$(mounts | grep -F -- "$mount/" || true)
        mount=$(printf %b "$mount")
        # Keys and pods may have disks of their own, on which they would only be hidden.
        case $mount in
        "$directory/pki") ours='kubelet[-.]*' ;;
        "$directory/pods") ours='[0-9a-f]*' ;;
        *) ours= ;;
        esac
        [ -z "$ours" ] || [ -n "$deeper" ] || find "$mount" -mindepth 1 -maxdepth 1 -name "$ours" -exec \
            rm -rf --one-file-system {} + || true
        umount "$mount" 2>/dev/null || umount -l "$mount" 2>/dev/null || true
    done
    # What is still mounted below may be somebody's data, also of the very same file system.
    left=$(mounts | head -n 1)
    [ -z "$left" ] || { echo "cannot unmount $left; nothing below /var/lib/kubelet was deleted"; exit 1; }
    find "$directory" -xdev -mindepth 1 -delete || true
    rmdir /var/lib/kubelet 2>/dev/null || true
fi
rm -rf /etc/kubernetes/kubelet.conf /etc/kubernetes/kubelet.conf.d /etc/kubernetes/bootstrap-kubelet.conf
rm -f /etc/kubernetes/kubelet.yaml /etc/kubernetes/pki/ca.crt /etc/systemd/system/kubelet.service
rmdir /etc/kubernetes/pki /etc/kubernetes 2>/dev/null || true
rm -rf /var/log/pods /var/log/containers
rm -f /usr/local/bin/kubelet /usr/local/bin/kubelet.kok-new
# It makes this at each start, for plug-ins that nobody brought.
for directory in kubelet-plugins/volume/exec kubelet-plugins/volume kubelet-plugins ''; do
    rmdir "/usr/libexec/kubernetes/$directory" 2>/dev/null || true
done
forget_units kubelet
