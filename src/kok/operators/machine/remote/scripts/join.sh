# Lets the kubelet in. Before it come KOK_API (the API's health check), KOK_CA, KOK_BOOTSTRAP,
# KOK_REGISTER (paths), KOK_FORGET (files of an identity that is no longer good); after it the
# calls of `put` and `start_kubelet`.

# answers CA-FILE: whether the API can be reached from here, and is the one that is meant
answers() {
    if has curl; then
        problem=$(curl -sS -o /dev/null --cacert "$1" --connect-timeout 5 -m 8 -- "$KOK_API" 2>&1) && return
    else
        problem=$(wget -q --ca-certificate="$1" -t 1 -T 8 -O /dev/null -- "$KOK_API" 2>&1)
        case $? in 0 | 6 | 8) return ;; esac
    fi
    say "endpoint $(printf %s "$problem" | head -n 1 | encoded)"
    exit 79
}

forget_identity() {
    systemctl stop kubelet 2>/dev/null
    for path in $KOK_FORGET; do
        # A directory may be a link to where the keys really are.
        [ ! -d "$path" ] || find "$path/" -mindepth 1 -maxdepth 1 -name 'kubelet[-.]*' -exec rm -rf {} +
        [ -L "$path" ] || rm -rf "$path"
    done
}

start_kubelet() {
    reread_units kubelet
    systemctl enable --no-reload --quiet kubelet 2>&1
    systemctl reset-failed kubelet 2>/dev/null
    systemctl restart kubelet || exit 1
    say "started"
}
