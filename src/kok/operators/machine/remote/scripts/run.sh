# One job, started apart from the SSH session. Runs at most once: whoever comes second finds
# `started`. KOK_JOB and KOK_COMPONENT come before it, the steps after it.
set -u
umask 022
DIR=$KOK/jobs/$KOK_JOB
cd /
exec 9>>"$DIR/lock"
flock 9
[ -e "$DIR/started" ] && exit 0
# The process group, by which the job can be stopped with all that it started.
read -r _ _ _ _ group _ </proc/$$/stat
echo "$group" >"$DIR/started"
exec >>"$DIR/log" 2>&1 </dev/null
CHANGED=no
NOTED=

# finish CODE REASON MESSAGE: the end, once
finish() {
    trap - EXIT TERM INT HUP
    printf '%s\n%s\n' "$2" "$3" >"$DIR/result"
    echo "$1" >"$DIR/exit.new"
    sync "$DIR/exit.new" 2>/dev/null || sync
    mv -f "$DIR/exit.new" "$DIR/exit"
    exit "$1"
}
trap 'finish 124 JobTimedOut "stopped: it took longer than its time-out, or the host went down"' TERM INT HUP
trap 'finish 1 JobFailed "ended unexpectedly in step: $NOTED"' EXIT

step() {
    NOTED=$1
    say "-- $1"
    say "$1" >"$DIR/step"
}

# One job of a component after the other, whatever they were started for.
exec 8>>"$KOK/locks/$KOK_COMPONENT"
flock 8

# depend JOB NAME [gone]: goes on once another job went through. It need not have begun yet, and looking
# at its lock must not keep it from beginning.
depend() {
    other=$KOK/jobs/$1
    step "waiting for $2${3:+ to be removed}"
    if [ -n "${3:-}" ]; then how="which has to go before, could not be removed"; else how="which has to be there before, could not be installed"; fi
    tries=0
    while [ ! -e "$other/exit" ]; do
        flock -s "$other/lock" true
        [ -e "$other/exit" ] && break
        tries=$((tries + 1))
        [ "$tries" -lt 200 ] || finish 76 DependencyFailed "$2, which comes before, did not start"
        sleep 0.05
    done
    [ "$(cat "$other/exit")" = 0 ] || finish 76 DependencyFailed "$2, $how"
}

download() {
    if has curl; then
        curl -fsSL --retry 2 --connect-timeout 10 --speed-limit 1024 --speed-time 20 -o "$2" -- "$1"
    else
        wget -q -t 3 -T 20 -O "$2" -- "$1"
    fi
}

# fetch PATH URL SHA256: puts a verified file into the cache; leaves a note if it cannot
fetch() {
    file=$KOK/cache/$3
    part=$file.part-$KOK_JOB
    if [ -e "$file" ] && [ "$(sha256sum <"$file")" = "$3  -" ]; then
        return 0
    fi
    if ! problem=$(download "$2" "$part" 2>&1); then
        printf 'DownloadFailed\ncannot fetch %s: %s\n' "$2" "$(printf %s "$problem" | tail -n 1)" >"$DIR/failed-$3"
        rm -f "$part"
        return 1
    fi
    found=$(sha256sum <"$part")
    found=${found%% *}
    if [ "$found" != "$3" ]; then
        printf 'ChecksumMismatch\n%s has SHA-256 %s but %s is expected; nothing was installed\n' "$2" "$found" "$3" >"$DIR/failed-$3"
        rm -f "$part"
        return 1
    fi
    mv -f "$part" "$file"
}

# Waits for all downloads; ends the job if one of them failed.
fetched() {
    wait
    for failed in "$DIR"/failed-*; do
        [ -e "$failed" ] || continue
        finish 77 "$(head -n 1 "$failed")" "$(tail -n +2 "$failed")"
    done
}

# keep NAME: a file that outlives the job, from standard input (base64)
keep() {
    base64 -d >"$HOME_OF_COMPONENT/$1.new" || not_kept "$1"
    kept "$1"
}

# kept NAME: puts NAME.new in its place. What has to be taken away again is known by nothing else, so
# that nothing is begun before it lies on the disk.
kept() {
    { sync "$HOME_OF_COMPONENT/$1.new" 2>/dev/null || sync; } &&
        mv -f "$HOME_OF_COMPONENT/$1.new" "$HOME_OF_COMPONENT/$1" || not_kept "$1"
}

not_kept() { finish 1 JobFailed "cannot write $HOME_OF_COMPONENT/$1: $(tail -n 1 "$DIR/log" | cut -c1-300)"; }

# Notes that the component is being worked on, in the order in which it has to be taken away again.
begin_component() {
    HOME_OF_COMPONENT=$KOK/components/$KOK_COMPONENT
    mkdir -p "$HOME_OF_COMPONENT"
    if [ ! -s "$HOME_OF_COMPONENT/order" ]; then
        last=$(cat "$KOK"/components/*/order 2>/dev/null | sort -n | tail -n 1)
        echo $((${last:-0} + 1)) >"$HOME_OF_COMPONENT/order.new" || not_kept order
        kept order
    fi
    # What was left as it was found becomes ours from here on: see `supersede`.
    [ "$(cat "$HOME_OF_COMPONENT/record" 2>/dev/null)" != "- adopted" ] || : >"$HOME_OF_COMPONENT/adopted"
    rm -f "$HOME_OF_COMPONENT/record"
    # The logs that lie there stay when the configuration names another place.
    if [ "$KOK_COMPONENT" = kubelet ]; then
        { cat "$HOME_OF_COMPONENT/logs" 2>/dev/null; logs_of_pods; } | sort -u >"$HOME_OF_COMPONENT/logs.new"
        mv -f "$HOME_OF_COMPONENT/logs.new" "$HOME_OF_COMPONENT/logs"
    fi
    KOK_DIRTY=$HOME_OF_COMPONENT/dirty
    [ -e "$KOK_DIRTY" ] && CHANGED=yes
}

# forget_files: removes what an earlier configuration wrote and this one does not
forget_files() {
    [ -e "$HOME_OF_COMPONENT/files" ] || return 0
    while IFS= read -r old; do
        grep -qxF -- "$old" "$HOME_OF_COMPONENT/files.next" && continue
        : >"$KOK_DIRTY"
        CHANGED=yes
        rm -f -- "$old"
    done <"$HOME_OF_COMPONENT/files"
}

# supersede: of software that was adopted, what would have the last word over our units: drop-ins of
# others that say what a service starts. Those of packages are hidden, those of people set aside.
supersede() {
    [ -e "$HOME_OF_COMPONENT/adopted" ] || return 0
    CHANGED=yes
    top=${KOK_HOME:+${KOK_HOME%/*}/root}
    while read -r unit; do
        own=$top/etc/systemd/system/$unit.service.d
        for place in "$own" "$top/usr/lib/systemd/system/$unit.service.d" "$top/lib/systemd/system/$unit.service.d"; do
            for file in "$place"/*.conf; do
                [ -f "$file" ] && grep -q '^ExecStart=' "$file" || continue
                if [ "$place" = "$own" ]; then
                    mkdir -p "$HOME_OF_COMPONENT/aside" && mv -f "$file" "$HOME_OF_COMPONENT/aside/"
                elif [ ! -e "$own/${file##*/}" ] && [ ! -L "$own/${file##*/}" ]; then
                    mkdir -p "$own" && printf '%s\n' "$own/${file##*/}" >>"$HOME_OF_COMPONENT/hidden" &&
                        ln -s /dev/null "$own/${file##*/}"
                fi || finish 1 JobFailed "cannot set $file aside"
            done
        done
    done <"$HOME_OF_COMPONENT/services"
    # Another file may have stood for the unit, of which the manager would not notice that it does no more.
    has systemctl && systemctl daemon-reload
    return 0
}

# end_component VERSION CONFIG: from now on the component counts as installed
end_component() {
    mv -f "$HOME_OF_COMPONENT/files.next" "$HOME_OF_COMPONENT/files"
    printf '%s %s\n' "$1" "$2" >"$HOME_OF_COMPONENT/record.new"
    sync "$HOME_OF_COMPONENT/record.new" 2>/dev/null || sync
    mv -f "$HOME_OF_COMPONENT/record.new" "$HOME_OF_COMPONENT/record"
    rm -f "$KOK_DIRTY" "$HOME_OF_COMPONENT/adopted"
}

# settle PATH: has the kernel take over what a file says, as at boot
settle() {
    case $1 in
        /etc/sysctl.d/*.conf) sysctl -q -e -p "$1" || true ;;
        /etc/modules-load.d/*.conf)
            sed 's/#.*//; s/[[:space:]]//g; /^$/d' "$1" | while read -r module; do modprobe "$module" || true; done
            ;;
    esac
}

# enabled UNIT: has a service start with the host; without a reload of the manager
enabled() {
    case $(systemctl is-enabled "$1" 2>/dev/null) in
        disabled) systemctl enable --no-reload --quiet "$1" ;;
        masked*) systemctl unmask --quiet "$1" ;;
    esac
}

# script NAME: runs a script of the component, from standard input (base64)
script() {
    step "$1"
    base64 -d >"$DIR/$1.sh" || finish 1 JobFailed "cannot write the script $1"
    sh -eu "$DIR/$1.sh" 8>&- 9>&-
    code=$?
    [ "$code" = 0 ] || finish "$code" JobFailed "script $1 ended with code $code: $(tail -n 1 "$DIR/log" | cut -c1-300)"
}

# probed VERSION: the last word, from standard input (base64)
probed() {
    step probe
    base64 -d >"$DIR/probe.sh"
    found=$(sh -eu "$DIR/probe.sh" 8>&- 9>&- | head -n 1)
    [ "$found" = "$1" ] || finish 78 NotAsWanted "the scripts went through but the probe finds ${found:-nothing} instead of $1"
}
