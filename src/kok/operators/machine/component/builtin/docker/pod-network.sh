# What pods of a runtime that is gone left of their network: whoever could have taken it down in order
# went with them. Only where no runtime has pods any more.
for namespace in $(ls /run/netns 2>/dev/null | grep '^cni-' || true); do
    umount "/run/netns/$namespace" 2>/dev/null || true
    rm -f "/run/netns/$namespace"
done
if [ -d /var/lib/cni ]; then
    find /var/lib/cni -xdev -mindepth 2 -type f ! -name lock -delete || true
fi
# Ways to ports of pods that are gone would stand before those of the pods that come.
clean() {
    command -v "$1-save" >/dev/null 2>&1 || return 0
    for table in filter nat mangle; do
        rules=$("$1-save" -t "$table" 2>/dev/null | grep -E -- '^:CNI-| -[jg] CNI-[^ ]*$' || true)
        [ -n "$rules" ] || continue
        {
            echo "*$table"
            printf '%s\n' "$rules" | grep -v '^-A CNI-' | sed -n 's/^-A /-D /p'
            printf '%s\n' "$rules" | sed -n 's/^:\(CNI-[^ ]*\) .*/-F \1/p'
            printf '%s\n' "$rules" | sed -n 's/^:\(CNI-[^ ]*\) .*/-X \1/p'
            echo COMMIT
        } | "$1-restore" --noflush || true
    done
}
for tool in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy iptables ip6tables; do
    clean "$tool"
done
