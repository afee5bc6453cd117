# What every script of KOK on a host begins with. POSIX shell; variables KOK_... come before it.
KOK=${KOK_HOME:-/var/lib/kok}
# With a home of its own (in tests) a host may have programs of its own, too.
[ -z "${KOK_HOME:-}" ] || PATH=${KOK_HOME%/*}/bin:$PATH
# What lies here the next boot takes away.
BOOT=${KOK_HOME:+$KOK_HOME/boot}
BOOT=${BOOT:-/run/kok}

say() { printf '%s\n' "$*"; }
encoded() { base64 | tr -d '\n'; }
has() { command -v "$1" >/dev/null 2>&1; }

owner_of_host() { sed -n 's/^uid=//p' "$KOK/owner" 2>/dev/null; }

# this_boot: what tells the boot in which the host is from all others, once somebody wanted to know.
# The kernel's own word for it is that of the whole machine where hosts are containers.
this_boot() {
    { read -r kernel id <"$BOOT/id"; } 2>/dev/null || return 1
    [ "$kernel" = "$(cat /proc/sys/kernel/random/boot_id)" ] && [ -n "$id" ] && echo "$id"
}

# mark_boot: makes it known
mark_boot() {
    this_boot >/dev/null && return
    rm -rf "$BOOT"
    mkdir -p "$BOOT/reboots" &&
        echo "$(cat /proc/sys/kernel/random/boot_id) $(cat /proc/sys/kernel/random/uuid)" >"$BOOT/id"
}

# Ends the script unless the host is this Machine's.
owned() {
    [ "$(owner_of_host)" = "$KOK_UID" ] && return
    say "owner $(encoded <"$KOK/owner" 2>/dev/null)"
    exit 75
}

# Makes the host this Machine's, if it is nobody's. One at a time: between a look at the mark and
# its writing nobody else may write it.
claim() {
    mkdir -p "$KOK/jobs" "$KOK/components" "$KOK/cache" "$KOK/locks"
    chmod 0700 "$KOK"
    exec 7<"$KOK"
    flock 7
    # A power cut may leave an empty file, which is nobody's.
    if [ ! -s "$KOK/owner" ]; then
        printf '%s\n' "$KOK_OWNER" >"$KOK/owner.new"
        sync "$KOK/owner.new" 2>/dev/null || sync
        mv -f "$KOK/owner.new" "$KOK/owner"
    fi
    exec 7<&-
    owned
}

# logs_of_pods: where the kubelet's configuration has the logs of pods, if it says so
logs_of_pods() {
    sed -n "s/^podLogsDir: *//p" "${KOK_HOME:+${KOK_HOME%/*}/root}/etc/kubernetes/kubelet.yaml" 2>/dev/null |
        tail -n 1 | sed "s/^[\"']//; s/[\"'] *\$//"
}

# put PATH MODE: writes standard input (base64) in one piece. A change is noted in CHANGED, and
# before it happens in the file KOK_DIRTY, which outlives whatever may come in between.
put() {
    mkdir -p "$(dirname "$1")" || return 1
    if ! (umask 077 && base64 -d >"$1.kok-new") || ! chmod "$2" "$1.kok-new"; then
        rm -f "$1.kok-new"
        return 1
    fi
    if cmp -s "$1.kok-new" "$1" && [ "$(stat -c 0%a "$1")" = "$2" ]; then
        rm -f "$1.kok-new"
        return 0
    fi
    sync "$1.kok-new" 2>/dev/null || sync
    [ -z "${KOK_DIRTY:-}" ] || : >"$KOK_DIRTY"
    mv -f "$1.kok-new" "$1" || return 1
    CHANGED=yes
}
