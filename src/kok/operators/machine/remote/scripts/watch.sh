# Watches services and files for a while, and tells a line whenever something is another than before.
# Changes nothing on the host, leaves nothing there, and ends with its connection. KOK_SECONDS (for
# how long), KOK_TICK and KOK_HEALTH (seconds between two looks, and between two health checks) come
# before it; the calls of `unit`, `check`, `paths` and then `watch` after it.
#
# What wakes it at once is the journal: the manager tells there of every service that ends, and of the
# path unit that lives as long as this script and is triggered by a file that changes.

UNITS=
CHECKS=
FILES=
NEWLINE='
'

# unit NAME: a service that has to run
unit() { UNITS="$UNITS $1"; }

# check COMPONENT UNIT...: how its health is found out, from standard input (base64)
check() {
    base64 -d >"$PLACE/$1.health" || return
    CHECKS="$CHECKS $1"
    checked=$1
    shift
    printf '%s\n' "$*" >"$PLACE/$checked.units"
}

# paths: files that must stay as they are, on standard input
paths() { FILES=$(cat); }

# tell KIND NAME WHAT: a line, if it is another one than the last of its kind and name
tell() {
    said=$PLACE/said-$1-$2
    [ "$(cat "$said" 2>/dev/null)" = "$3" ] && return
    printf '%s' "$3" >"$said"
    printf '%s %s %s\n' "$1" "$2" "$3" || exit 0
}

value() { printf '%s\n' "$shown" | sed -n "s/^$1=//p" | head -n 1; }

uptime_seconds() { cut -d. -f1 "${KOK_UPTIME:-/proc/uptime}"; }

# How a service is: ok, starting, restarting (it ended, and the manager starts it again), looping (it
# did so three times within a minute), down, and whether it starts with the host.
state_of() {
    shown=$(timeout 5 systemctl show -p ActiveState -p SubState -p NRestarts -p UnitFileState \
        -p LoadState -p Result -p ActiveEnterTimestampMonotonic "$1.service" 2>/dev/null)
    now=$(uptime_seconds)
    read -r count base since 2>/dev/null <"$PLACE/restarts-$1" || { count=; base=; since=; }
    current=$(value NRestarts)
    current=${current:-0}
    # A restart by hand begins to count anew.
    if [ -z "$count" ] || [ "$current" -lt "$count" ] || [ $((now - since)) -ge 60 ]; then
        base=${count:-$current}
        [ "$current" -lt "$base" ] && base=$current
        since=$now
    fi
    printf '%s %s %s\n' "$current" "$base" "$since" >"$PLACE/restarts-$1"
    state=$(value ActiveState) sub=$(value SubState) enabled=$(value UnitFileState)
    case $state/$sub in
        active/* | reloading/*) word=ok ;;
        activating/auto-restart*) word=restarting ;;
        activating/*) word=starting ;;
        deactivating/*) word=stopping ;;
        *) word=down ;;
    esac
    case $word in ok | restarting | starting) [ $((current - base)) -lt 3 ] || word=looping ;; esac
    entered=$(value ActiveEnterTimestampMonotonic)
    case $entered in '' | *[!0-9]*) entered=0 ;; esac
    echo $((now - entered / 1000000)) >"$PLACE/age-$1"
    result=$(value Result)
    printf '%s %s %s' "$word" "${enabled:-none}" "${result:-none}"
}

services() {
    for name in $UNITS; do
        tell service "$name" "$(state_of "$name")"
    done
}

# settled UNIT...: whether all of them have been up for long enough to answer
settled() {
    for one; do
        case $(cat "$PLACE/said-service-$one" 2>/dev/null) in ok\ *) ;; *) return 1 ;; esac
        [ "$(cat "$PLACE/age-$one" 2>/dev/null || echo 0)" -ge "${KOK_YOUNG:-10}" ] || return 1
    done
}

# What does not answer within five seconds, twice, does not answer.
healthy() {
    for again in 1 2; do
        answer=$(timeout -k 1 "${KOK_ANSWER:-5}" sh -eu "$PLACE/$1.health" 2>&1 </dev/null) && return 0
        code=$?
        case $code in
            124 | 137) answer="it did not answer within ${KOK_ANSWER:-5} s" ;;
        esac
    done
    return 1
}

health() {
    for component in $CHECKS; do
        # One that was just started has nothing to answer yet.
        settled $(cat "$PLACE/$component.units") || { tell health "$component" wait; continue; }
        if healthy "$component"; then
            tell health "$component" ok
        else
            tell health "$component" "bad $(printf '%s' "$answer" | tail -n 4 | cut -c1-300 | encoded)"
        fi
    done
}

# A file system without room, or without inodes, keeps every service from writing.
disk() {
    for place in /var/lib /run /etc; do
        free=$(df -Pk "${KOK_DISK:-$place}" 2>/dev/null | awk 'NR == 2 {print $4}')
        inodes=$(df -Pi "${KOK_DISK:-$place}" 2>/dev/null | awk 'NR == 2 {print ($2 > 0) ? $4 : 1000}')
        case $free$inodes in '' | *[!0-9]*) continue ;; esac
        if [ "$free" -lt 8192 ] || [ "$inodes" -lt 16 ]; then
            tell disk all "full $place"
            return
        fi
    done
    tell disk all ok
}

# The manager's journal of these services, and of the path unit; of it no more than that it came.
listen() {
    has journalctl || return
    set -- journalctl -q -f -n 0 -o cat "UNIT=$MARK.service"
    for name in $UNITS; do set -- "$@" + "UNIT=$name.service"; done
    "$@" >&4 2>/dev/null &
    LISTENER=$!
}

# A transient path unit: it needs no reload of the manager, by which containers may lose their GPUs.
mark_files() {
    [ -n "$FILES" ] && has systemd-run || return
    set -- --quiet --collect --unit="$MARK" --service-type=oneshot
    old=$IFS
    IFS=$NEWLINE
    for path in $FILES; do set -- "$@" "--path-property=PathChanged=$path"; done
    IFS=$old
    systemd-run "$@" /bin/true >/dev/null 2>&1
}

# stamp: of what the files are by now, as far as their names and times tell
stamp() {
    old=$IFS
    IFS=$NEWLINE
    stat -c '%n %a %s %Y %i' $FILES 2>/dev/null | cksum
    IFS=$old
}

leave() {
    trap - EXIT TERM INT HUP PIPE
    [ -z "${LISTENER:-}" ] || kill "$LISTENER" 2>/dev/null
    [ -z "$FILES" ] || ! has systemctl || systemctl stop "$MARK.path" 2>/dev/null
    rm -rf "$PLACE"
    exit 0
}

# Waits for a word in the journal, or for KOK_TICK seconds; several words at once are one.
pause() {
    timeout "$KOK_TICK" sh -c 'read -r word <&4' 2>/dev/null || return
    sleep 0.2
    timeout 0.1 cat <&4 >/dev/null
}

watch() {
    begun=$(uptime_seconds) checked=
    mkfifo "$PLACE/wake" && exec 4<>"$PLACE/wake" || exit 1
    listen
    mark_files
    seen=$(stamp)
    while :; do
        services
        now=$(uptime_seconds)
        if [ -z "$checked" ] || [ $((now - checked)) -ge "$KOK_HEALTH" ]; then
            disk
            health
            checked=$now
        fi
        fresh=$(stamp)
        [ "$fresh" = "$seen" ] || { echo changed || exit 0; }
        seen=$fresh
        # The sign of life, by which this also finds out that nobody listens any more.
        echo alive || exit 0
        [ $((now - begun)) -lt "$KOK_SECONDS" ] || exit 0
        pause
    done
}

place=/run
[ -z "${KOK_HOME:-}" ] || place=${KOK_HOME%/*}
PLACE=$(mktemp -d "$place/kok-watch.XXXXXX" 2>/dev/null || mktemp -d /dev/shm/kok-watch.XXXXXX) || exit 1
MARK=kok-files-${PLACE##*.}
trap leave EXIT TERM INT HUP PIPE
