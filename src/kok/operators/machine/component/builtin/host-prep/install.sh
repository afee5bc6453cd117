for module in overlay br_netfilter; do
    modprobe "$module" 2>/dev/null || true
done
grep -qw overlay /proc/filesystems || { echo "the kernel has no overlay file system"; exit 1; }
[ -d /proc/sys/net/bridge ] || { echo "the kernel cannot filter bridged packets (br_netfilter)"; exit 1; }
# Some hosts, containers above all, do not own every setting; the probe asks for those that matter.
sysctl -q -e -p /etc/sysctl.d/99-kok.conf || true
