# Gives a host back as it is: what runs there goes on, with the files that it runs with, and all that is
# KOK's own goes. KOK_UID, KOK_BOOTSTRAP and KOK_CERTIFICATE come before it, forget.sh after it.
# A host without a mark is nobody's: what was left there is gone, or was taken away by hand.
[ -s "$KOK/owner" ] || exit 0
owned
# What was begun comes to its end: half of it would be no node.
for each in "$KOK"/jobs/*; do
    [ -d "$each" ] && [ ! -e "$each/exit" ] || continue
    if [ ! -e "$each/started" ]; then
        has systemctl && [ -z "${KOK_HOME:-}" ] && systemctl stop "kok-job-${each##*/}" 2>/dev/null
        continue
    fi
    flock -s -w 60 "$each/lock" true && continue
    echo "a job of $(cat "$each/component" 2>/dev/null) still runs" >&2
    exit 1
done
# A token to join with is of no use to one that has joined.
[ -z "$KOK_BOOTSTRAP" ] || [ ! -e "$KOK_CERTIFICATE" ] || rm -f "$KOK_BOOTSTRAP"
# Without these homes nothing would ever be taken away by KOK. A home may be a link.
[ ! -d "$KOK/components" ] || find "$KOK/components/" -mindepth 1 -delete || exit 1
