# What plugins leave behind on a host: bridges, tunnels, chains, leases. The names are those that
# Kubernetes, these plugins and flannel use; nothing else is touched.
interfaces="cni0 flannel.1 flannel-v6.1 kube-ipvs0"
# Those of pods go with their namespaces, unless something keeps such a namespace: one half is here.
for port in $(ip -o link show master cni0 2>/dev/null | sed -n 's/^[0-9]*: \([^:@]*\)[:@].*/\1/p' || true); do
    ip link delete "$port" 2>/dev/null || true
done
for interface in $interfaces; do
    ip link delete "$interface" 2>/dev/null || true
done
for namespace in $(ls /run/netns 2>/dev/null | grep '^cni-' || true); do
    umount "/run/netns/$namespace" 2>/dev/null || true
    rm -f "/run/netns/$namespace"
done

# Jumps into our chains first, then their rules, then the chains, all in one go for each table. A
# rule that only speaks of them, in a comment for example, is somebody else's.
ours='KUBE-|CNI-|FLANNEL-'
clean() {
    command -v "$1-save" >/dev/null 2>&1 || return 0
    for table in filter nat mangle raw; do
        rules=$("$1-save" -t "$table" 2>/dev/null | grep -E -- "^:($ours)| -[jg] ($ours)[^ ]*\$" || true)
        [ -n "$rules" ] || continue
        {
            echo "*$table"
            printf '%s\n' "$rules" | grep -v -E "^-A ($ours)" | sed -n 's/^-A /-D /p'
            printf '%s\n' "$rules" | sed -n -E "s/^:(($ours)[^ ]*) .*/-F \1/p"
            printf '%s\n' "$rules" | sed -n -E "s/^:(($ours)[^ ]*) .*/-X \1/p"
            echo COMMIT
        } | "$1-restore" --noflush
    done
}
for tool in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy iptables ip6tables; do
    clean "$tool"
done
# Family and name of tables: those of kube-proxy, of these plugins, and of flannel.
tables="ip kube-proxy,ip6 kube-proxy,ip cni_hostport,ip6 cni_hostport,inet cni_plugins_masquerade"
tables="$tables,ip flannel-ipv4,ip6 flannel-ipv6"
each_table() { printf '%s\n' "$tables" | tr , '\n'; }
if command -v nft >/dev/null 2>&1; then
    each_table | while read -r family table; do
        nft delete table "$family" "$table" 2>/dev/null || true
    done
fi
command -v ipset >/dev/null 2>&1 && for set in $(ipset list -n 2>/dev/null | grep '^KUBE-' || true); do
    ipset destroy "$set" 2>/dev/null || true
done

# Nothing is believed to be gone unseen: the next node here would find pods of others on its bridge.
left() {
    for interface in $interfaces; do
        ! ip link show "$interface" >/dev/null 2>&1 || echo "interface $interface"
    done
    for tool in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do
        command -v "$tool-save" >/dev/null 2>&1 || continue
        for table in filter nat mangle raw; do
            "$tool-save" -t "$table" 2>/dev/null |
                sed -n -E "s/^:(($ours)[^ ]*) .*/chain \1 of $tool, table $table/p" || true
        done
    done
    ! command -v nft >/dev/null 2>&1 || each_table | while read -r family table; do
        ! nft list table "$family" "$table" >/dev/null 2>&1 || echo "nft table $family $table"
    done
}
found=$(left)
[ -z "$found" ] || { echo "left on the host: $(printf '%s\n' "$found" | head -n 4 | tr '\n' ';')"; exit 1; }

# Other plugins and their networks may be here, too: only what came with ours goes.
for plugin in LICENSE README.md bandwidth bridge dhcp dummy firewall flannel host-device host-local \
    ipvlan loopback macvlan portmap ptp sbr static tap tuning vlan vrf; do
    rm -f "/opt/cni/bin/$plugin"
done
rm -rf /opt/cni/bin/.kok-new /run/flannel /var/lib/cni/flannel /var/lib/cni/networks/cbr0
rm -f /var/lib/cni/results/cbr0-* /var/lib/cni/results/cni-loopback-*
rm -f /etc/cni/net.d/10-flannel.conflist
for directory in /opt/cni/bin /opt/cni /etc/cni/net.d /etc/cni \
    /var/lib/cni/networks /var/lib/cni/results /var/lib/cni; do
    rmdir "$directory" 2>/dev/null || true
done
