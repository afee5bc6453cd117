# Takes everything away again, as one job: run.sh comes before it.

# The jobs of components would only be in the way.
stop_other_jobs() {
    step "stopping jobs"
    for other in "$KOK"/jobs/*; do
        id=${other##*/}
        [ "$id" = "$KOK_JOB" ] && continue
        has systemctl && systemctl stop "kok-job-$id" 2>/dev/null
        flock -n "$other/lock" true 2>/dev/null || kill -s TERM -- "-$(cat "$other/started")" 2>/dev/null
    done
}

# What was installed last goes first. What fails is told, and the rest is done nevertheless.
uninstall_all() {
    problems=
    for name in $(last_first); do
        uninstall_one "$KOK/components/$name" && continue
        problems="$problems${problems:+; }$name: $(last_words)"
    done
    [ -z "$problems" ] || finish 1 "$WHY" "cannot uninstall $problems"
}

# All components. One without a number was begun last: there was no room, or no time, to note it.
last_first() {
    for home in "$KOK"/components/*; do
        [ -d "$home" ] || continue
        number=$(grep -xE '[0-9]{1,9}' "$home/order" 2>/dev/null | head -n 1)
        printf '%s %s\n' "${number:-1000000000}" "${home##*/}"
    done | sort -rn | cut -d ' ' -f 2
}

# The only one of a job: `uninstall_one`, and how it ended.
uninstall_only() {
    uninstall_one "$1" || finish 1 "$WHY" "cannot uninstall it: $(last_words)"
}

last_words() { tail -n 1 "$DIR/log" | cut -c1-400; }

# The home of a component stays until nothing of the component is left: by it the next attempt, or
# whoever gets the host next, knows what there is to do.
WHY=JobFailed
uninstall_one() {
    step "uninstalling ${1##*/}"
    note "$1"
    if [ -s "$1/uninstall" ]; then
        sh -eu "$1/uninstall" 8>&- 9>&- || return 1
    fi
    for list in "$1/files" "$1/files.next" "$1/hidden"; do
        [ -e "$list" ] || continue
        while IFS= read -r path; do
            rm -f -- "$path"
        done <"$list"
    done
    take_away "$1"
    if ! verify "$1"; then
        WHY=HostNotClean
        return 1
    fi
    rm -rf "$1"
}
