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
    for order in $(cat "$KOK"/components/*/order 2>/dev/null | sort -rn | uniq); do
        for home in "$KOK"/components/*; do
            [ "$(cat "$home/order" 2>/dev/null)" = "$order" ] || continue
            uninstall_one "$home" && continue
            problems="$problems${problems:+; }${home##*/}: $(last_words)"
        done
    done
    [ -z "$problems" ] || finish 1 "$WHY" "cannot uninstall $problems"
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
    for list in "$1/files" "$1/files.next"; do
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
