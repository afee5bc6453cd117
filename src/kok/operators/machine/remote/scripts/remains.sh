# What software leaves behind on a host, wherever links lead: noted before its uninstall script
# runs, taken away after it, and looked for in the end. Nothing is believed to be gone unseen.

# With a home of its own (in tests) all else of a host lies beside it.
ROOT=${KOK_HOME:+${KOK_HOME%/*}/root}
TAB=$(printf '\t')
HEX8='[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]'

# directories HOME: of a component, one a line, and the names (patterns) of what it makes there. What was
# installed before Components said so is known here.
# Such a directory may be a link, or mounted from elsewhere, to a place that holds somebody's data
# beside ours: only what bears one of these names is looked for and touched.
directories() {
    cat "$1/remains" 2>/dev/null
    case ${1##*/} in
    kubelet)
        echo "/var/lib/kubelet/pki kubelet-* kubelet.*"
        echo "/var/lib/kubelet/pods $HEX8-* $HEX8$HEX8$HEX8$HEX8"
        echo "/var/lib/kubelet/plugins kubernetes.io *csi*"
        echo "/var/lib/kubelet/plugins_registry *.sock"
        echo "/var/lib/kubelet pki pods plugins plugins_registry pod-resources pods-api" \
            "device-plugins image_manager checkpoints actuated_pods_state allocated_pods_state" \
            "*_manager_state kubelet.sock"
        echo "/var/log/pods *_*_$HEX8*"
        echo "/var/log/containers *_*_*.log"
        echo "/etc/kubernetes/kubelet.conf.d 10-register.conf"
        ;;
    containerd)
        echo "/var/lib/containerd io.containerd.* tmpmounts"
        echo "/run/containerd io.containerd.* containerd.sock* s fifo runc"
        ;;
    esac
}

# note HOME: where directories and files of the component really lie. It is noted before the
# uninstall script runs, which may remove a link and leave what is behind it; a second attempt
# would not find that again.
note() {
    directories "$1" | while read -r path names; do
        # A component of somebody's own may leave such a directory alone: its script tells.
        case $path in /var/lib/kubelet/*) named=/var/lib/kubelet ;; *) named=$path ;; esac
        grep -qF -- "$named" "$1/uninstall" "$1/remains" 2>/dev/null || continue
        really=$(readlink -f "$ROOT$path") && printf '%s\t%s\n' "$really" "$names"
    done >"$1/places.new"
    [ "${1##*/}" != kubelet ] || { cat "$1/logs" 2>/dev/null; logs_of_pods; } | sort -u |
        while IFS= read -r path; do
            case $path in /*) ;; *) continue ;; esac
            really=$(readlink -f "$ROOT$path") && printf '%s\t%s\n' "$really" "*_*_$HEX8*"
        done >>"$1/places.new"
    for list in "$1/files" "$1/files.next"; do
        [ -e "$list" ] || continue
        while IFS= read -r path; do
            # The directory may be a link, but a link in the file's own place is not ours.
            really=$(readlink -f -- "$(dirname -- "$path")") && printf '%s\n' "$really/${path##*/}"
        done <"$list"
    done >"$1/paths.new"
    # In reverse, so that what lies in a directory comes before it.
    for kind in places paths; do
        cat "$1/$kind" "$1/$kind.new" 2>/dev/null | sort -ru >"$1/$kind.all"
        mv -f "$1/$kind.all" "$1/$kind"
        rm -f "$1/$kind.new"
    done
}

# present HOME: what there is of the component in the places that were noted
present() {
    # No pattern may be expanded here: find does that, where it is meant.
    set -f
    while IFS=$TAB read -r place names; do
        [ "$place" != / ] && [ -d "$place" ] || continue
        for name in $names; do find "$place" -mindepth 1 -maxdepth 1 -name "$name"; done
    done <"$1/places"
    while IFS= read -r path; do
        if [ -e "$path" ] || [ -L "$path" ]; then printf '%s\n' "$path"; fi
    done <"$1/paths"
    set +f
    [ "${1##*/}" = kubelet ] || return 0
    for path in kubelet.conf bootstrap-kubelet.conf pki/ca.crt; do
        [ ! -s "$ROOT/etc/kubernetes/$path" ] || printf '%s\n' "$ROOT/etc/kubernetes/$path"
    done
    # Pods of network plug-ins leave their way into the cluster where the runtime looks, some of them
    # (Multus, whereabouts) in a directory of their own.
    net=$(readlink -f "$ROOT/etc/cni/net.d")
    [ ! -d "$net" ] || find "$net" -maxdepth 3 -type f -name '*kubeconfig*' -newer "$KOK/owner"
}

# kernels PATH: a path in the notation of the kernel
kernels() { printf %s "$1" | sed "s/\\\\/\\\\134/g; s/ /\\\\040/g; s/$TAB/\\\\011/g"; }

# mounts PATH: what is mounted there or below it, the deepest first, in the notation of the kernel
mounts() {
    AT=$(kernels "$1") awk '$2 == ENVIRON["AT"] || index($2, ENVIRON["AT"] "/") == 1 {print $2}' \
        "$ROOT/proc/mounts" 2>/dev/null | sort -r
}

# copied PATH: whether a directory was mounted over itself. Kubelets do that at each start where
# their directory is a link and the root of the file system not shared; what they had mounted there
# before is then out of reach.
copied() {
    AT=$(kernels "$1") awk '
        {above[$1] = $2; disk[$1] = $3; root[$1] = $4; at[$1] = $5}
        END {
            for (id in at) if (at[id] == ENVIRON["AT"] && at[above[id]] == at[id]) covered[above[id]]
            for (id in at) if (at[id] == ENVIRON["AT"] && !(id in covered)) top = id
            up = above[top]
            rest = at[up] == "/" ? at[top] : substr(at[top], length(at[up]) + 1)
            same = root[up] == "/" && rest != "" ? rest : root[up] rest
            exit !(top != "" && disk[top] == disk[up] && root[top] == same)
        }' "$ROOT/proc/self/mountinfo" 2>/dev/null
}

# release PATH: unmounts all that is mounted there or below it
release() {
    mounts "$1" | while IFS= read -r mount; do
        mount=$(printf %b "$mount")
        umount "$mount" 2>/dev/null || umount -l "$mount" 2>/dev/null
    done
}

# uncover HOME: takes such copies away, with what the component has mounted in each of them
uncover() {
    while IFS=$TAB read -r place _; do
        while [ "$place" != / ] && copied "$place"; do
            present "$1" | while IFS= read -r path; do release "$path"; done
            umount "$place" 2>/dev/null || break
        done
    done <"$1/places"
}

# wipe PATH: takes it away with all in it; follows no link, and deletes nothing that stays mounted
wipe() {
    release "$1"
    [ -n "$(mounts "$1")" ] || find "$1" -xdev -depth -delete 2>/dev/null
}

# take_away HOME: what the uninstall script left, mostly since a link stood in its way
take_away() {
    uncover "$1"
    present "$1" | while IFS= read -r path; do wipe "$path"; done
}

# running SERVICE [PATTERN]: the service, and processes of that command line, if they are there
running() {
    [ -z "$ROOT" ] || return 0
    has systemctl && systemctl is-active --quiet "$1" && echo "the service $1, which runs"
    [ -z "${2:-}" ] || { has pgrep && pgrep -f "$2" | sed "s|^|a process of $1, |"; }
}

# left HOME: what of the component is still on the host, one a line
left() {
    present "$1" | while IFS= read -r path; do
        mounted=$(mounts "$path" | head -n 1)
        printf '%s\n' "$path${mounted:+ (mounted: $mounted)}"
    done
    while read -r service; do running "$service"; done 2>/dev/null <"$1/services"
    case ${1##*/} in
    kubelet) running kubelet '^/usr/local/bin/kubelet ' ;;
    containerd) running containerd '^/usr/local/bin/containerd-shim-runc-v2 -namespace k8s[.]io ' ;;
    esac
}

# verify HOME: ends well if nothing of the component is left; otherwise says what is
verify() {
    # Of a directory that is left what is in it needs no mention.
    left "$1" | LC_ALL=C sort -u | awk '
        {path = $0; sub(/ \(mounted: .*/, "", path)}
        above != "" && index(path, above "/") == 1 {next}
        {above = path; print}' >"$1/left"
    [ -s "$1/left" ] || return 0
    count=$(wc -l <"$1/left")
    listed=$(head -n 4 "$1/left" | paste -s -d , | sed 's/,/, /g')
    [ "$count" -le 4 ] || listed="$listed and $((count - 4)) more"
    say "left on the host: $listed"
    return 1
}
