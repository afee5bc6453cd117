value() { cat "/proc/sys/$1" 2>/dev/null || echo 1; }
grep -qw overlay /proc/filesystems || exit 0
[ -d /proc/sys/net/bridge ] || exit 0
[ "$(value net/ipv4/ip_forward)" = 1 ] || exit 0
[ "$(value net/bridge/bridge-nf-call-iptables)" = 1 ] || exit 0
[ -e /etc/sysctl.d/99-kok.conf ] && echo {{ version }}
