# Puts jobs on the host, starts those that never ran, and tells of each when it ends.
# KOK_WANTED (their IDs) and KOK_PATIENCE (seconds) come before it; `job` and `await_all` after it.

# Finished jobs of before are of no use any more, unless a job under way still has to see how they
# ended: it was begun with them, maybe by an operator that was ended since.
sweep() {
    for each in "$KOK"/jobs/*; do
        [ -d "$each" ] || continue
        under_way "$each" && return
    done
    for old in "$KOK"/jobs/*; do
        [ -d "$old" ] || continue
        wanted "$old" || rm -rf "$old"
    done
}

# wanted DIR: is it one of the jobs that are waited for now?
wanted() {
    case " $KOK_WANTED " in *" ${1##*/} "*) return 0 ;; esac
    return 1
}

# under_way DIR: does the job run, or will it?
under_way() {
    [ -e "$1/exit" ] && return 1
    if [ -e "$1/started" ]; then
        ! flock -n "$1/lock" true 2>/dev/null
    else
        wanted "$1"
    fi
}

# job ID COMPONENT SECONDS: takes its script from standard input (base64)
job() {
    dir=$KOK/jobs/$1
    if [ ! -e "$dir/run" ]; then
        mkdir -p "$dir"
        echo "$2" >"$dir/component"
        : >>"$dir/lock"
        base64 -d >"$dir/run.new" || exit 1
        sync "$dir/run.new" 2>/dev/null || sync
        mv -f "$dir/run.new" "$dir/run"
    fi
    [ -e "$dir/exit" ] || [ -e "$dir/started" ] || launch "$1" "$3"
}

# A second launch of the same job does no harm: it finds `started`.
launch() {
    # With a home of its own (in tests) a job must not leave for the system's surroundings.
    if [ -z "${KOK_HOME:-}" ] && [ -d /run/systemd/system ] && has systemd-run; then
        systemd-run --quiet --collect --unit="kok-job-$1" --property=RuntimeMaxSec="$2" \
            --property=TimeoutStopSec=10 --property=Type=exec \
            /bin/sh "$KOK/jobs/$1/run" 2>/dev/null && return
        systemctl is-active --quiet "kok-job-$1" && return
    fi
    setsid timeout -k 10 "$2" /bin/sh "$KOK/jobs/$1/run" >/dev/null 2>&1 </dev/null &
}

# Blocks on the job's lock, which the kernel gives free when the job ends, however it does.
await() {
    dir=$KOK/jobs/$1
    tries=0
    while [ ! -e "$dir/exit" ]; do
        begun=no
        [ -e "$dir/started" ] && begun=yes
        if ! flock -s -w "$KOK_PATIENCE" "$dir/lock" true; then
            say "running $1 $(encoded <"$dir/step")"
            return
        fi
        [ -e "$dir/exit" ] && break
        tries=$((tries + 1))
        if [ "$begun" = yes ] || [ "$tries" -ge 200 ]; then
            # The lock was free although the job had begun, so it is gone; or it never began.
            say "lost $1 $(tail -c 2000 "$dir/log" 2>/dev/null | encoded)"
            return
        fi
        sleep 0.05
    done
    say "ended $1 $(cat "$dir/exit") $(encoded <"$dir/result") $(tail -c 2000 "$dir/log" | encoded)"
}

await_all() {
    for id in $KOK_WANTED; do
        await "$id" &
    done
    wait
}
