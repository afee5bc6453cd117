# Takes over a host as it is: writes below $KOK and nowhere else, and starts and stops nothing.
# KOK_UID, KOK_OWNER (the mark) and KOK_REPLACES (whose mark it may take the place of) come before it,
# the calls of `home` and `noted` and that of `mark` after it.

# One at a time, until the end of this script: nobody claims the host in between.
mkdir -p "$KOK/jobs" "$KOK/components" "$KOK/cache" "$KOK/locks" || exit 1
chmod 0700 "$KOK"
exec 7<"$KOK"
flock 7
there=$(owner_of_host)
[ -z "$there" ] || [ "$there" = "$KOK_REPLACES" ] || owned

# home NAME: the place of software that stays as it is, in the order in which it is taken away again
home() {
    HOME_OF_COMPONENT=$KOK/components/$1
    mkdir -p "$HOME_OF_COMPONENT" || exit 1
    if [ ! -s "$HOME_OF_COMPONENT/order" ]; then
        last=$(cat "$KOK"/components/*/order 2>/dev/null | sort -n | tail -n 1)
        echo $((${last:-0} + 1)) >"$HOME_OF_COMPONENT/order" || exit 1
    fi
}

# noted NAME: a file by which it is taken away in the end, from standard input (base64)
noted() {
    base64 -d >"$HOME_OF_COMPONENT/$1.new" && mv -f "$HOME_OF_COMPONENT/$1.new" "$HOME_OF_COMPONENT/$1" || exit 1
}

# as_found: in the place of the record of an installation
as_found() {
    echo "- adopted" >"$HOME_OF_COMPONENT/record.new" && mv -f "$HOME_OF_COMPONENT/record.new" "$HOME_OF_COMPONENT/record" || exit 1
}

# mark: the host is this Machine's, once all else lies on the disk
mark() {
    sync "$KOK"/components/*/* 2>/dev/null || sync
    [ "$(owner_of_host)" = "$KOK_UID" ] && return
    printf '%s\n' "$KOK_OWNER" >"$KOK/owner.new" || exit 1
    sync "$KOK/owner.new" 2>/dev/null || sync
    mv -f "$KOK/owner.new" "$KOK/owner"
}
