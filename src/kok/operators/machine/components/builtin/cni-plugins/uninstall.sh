# What plugins leave behind on a host: bridges, tunnels, chains, leases. The names are those that
# Kubernetes, these plugins and flannel use; nothing else is touched.
for interface in cni0 flannel.1 flannel-v6.1 kube-ipvs0; do
    ip link delete "$interface" 2>/dev/null || true
done
for namespace in $(ls /run/netns 2>/dev/null | grep '^cni-' || true); do
    umount "/run/netns/$namespace" 2>/dev/null || true
    rm -f "/run/netns/$namespace"
done

# Jumps into our chains first, then their rules, then the chains, all in one go for each table.
ours='KUBE-|CNI-|FLANNEL-'
clean() {
    command -v "$1-save" >/dev/null 2>&1 || return 0
    for table in filter nat mangle raw; do
        rules=$("$1-save" -t "$table" 2>/dev/null | grep -E -- "$ours" || true)
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
if command -v nft >/dev/null 2>&1; then
    for family in ip ip6; do
        nft delete table "$family" kube-proxy 2>/dev/null || true
    done
fi
command -v ipset >/dev/null 2>&1 && for set in $(ipset list -n 2>/dev/null | grep '^KUBE-' || true); do
    ipset destroy "$set" 2>/dev/null || true
done

rm -rf /opt/cni/bin /var/lib/cni /run/flannel
rm -f /etc/cni/net.d/10-flannel.conflist
rmdir /opt/cni /etc/cni/net.d /etc/cni 2>/dev/null || true
