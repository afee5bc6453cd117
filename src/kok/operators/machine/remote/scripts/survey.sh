# Tells all about a host in one go and changes nothing. Before it come KOK_TOWARDS (an address of
# the cluster) and what is looked for, as systems.yaml has it; after it the calls of `reach`, `probe`
# and `files`.

fact() { printf 'fact %s %s\n' "$1" "$2"; }

facts() {
    fact hostname "$(uname -n)"
    fact machineID "$(cat /etc/machine-id 2>/dev/null)"
    fact systemUUID "$(cat /sys/class/dmi/id/product_uuid 2>/dev/null)"
    fact os "$(. /etc/os-release 2>/dev/null && printf %s "${PRETTY_NAME:-}")"
    fact osFamily "$(. /etc/os-release 2>/dev/null && printf '%s %s' "${ID:-}" "${ID_LIKE:-}")"
    fact kernel "$(uname -r)"
    fact machine "$(uname -m)"
    fact system "$(uname -s)"
    fact cpus "$(grep -c ^processor /proc/cpuinfo)"
    fact memoryKi "$(sed -n 's/^MemTotal: *\([0-9]*\) kB$/\1/p' /proc/meminfo)"
    fact bootID "$(cat /proc/sys/kernel/random/boot_id)"
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then fact cgroup v2; else fact cgroup v1; fi
    fact capabilities "$(sed -n 's/^CapBnd:[[:space:]]*//p' /proc/self/status)"
    fact swap "$(tail -n +2 /proc/swaps 2>/dev/null | wc -l)"
    if [ -d /run/systemd/system ]; then fact systemd yes; else fact systemd no; fi
    resolver
    if [ -e /proc/sys/net/ipv6/conf/all/disable_ipv6 ]; then
        fact ipv6Disabled "$(cat /proc/sys/net/ipv6/conf/all/disable_ipv6)"
    else
        fact ipv6Disabled 1
    fi
    for tool in $KOK_PROGRAMS; do
        has "$tool" && fact tool "$tool"
    done
    fact disk "$(df -Pk /var/lib | awk 'NR == 2 {print $4}')"
    # What is built into the kernel is no module of it.
    grep -qw overlay /proc/filesystems && fact module overlay
    [ -d /proc/sys/net/bridge ] && fact module br_netfilter
    for module in $KOK_MODULES; do
        modprobe -n -q "$module" 2>/dev/null && fact module "$module"
    done
    for unit in $KOK_SERVICES; do
        for place in $KOK_UNITS; do
            [ -e "$place/$unit.service" ] && fact unit "$unit" && break
        done
    done
    addresses
    awk '$4 == "0A" {split($2, a, ":"); print a[2]}' /proc/net/tcp /proc/net/tcp6 2>/dev/null | sort -u |
        while read -r port; do fact port "$(printf %d "0x$port")"; done
}

# The file by which pods are to resolve names, and the name servers in it.
resolver() {
    resolver=${KOK_RESOLV_CONF:-$KOK_RESOLVER}
    upstream=${KOK_UPSTREAM_CONF:-$KOK_UPSTREAM}
    # The stub of systemd-resolved listens where pods cannot reach it.
    if grep -q '^nameserver 127\.0\.0\.5[34]' "$resolver" 2>/dev/null && [ -e "$upstream" ]; then
        resolver=$upstream
    fi
    fact resolver "$resolver"
    sed -n 's/^[[:space:]]*nameserver[[:space:]]*\([^[:space:]#;]*\).*/\1/p' "$resolver" 2>/dev/null | head -n 16 |
        while read -r server; do fact nameserver "$server"; done
}

# The address towards KOK_SELF's network first; those of pods and of bridges of containers not.
addresses() {
    has ip || return
    ip -o addr show scope global 2>/dev/null | awk '$2 !~ /^(cni|flannel|veth|docker|br-|kube-|cali|cilium|lxc|nodelocaldns)/ {split($4, a, "/"); print a[1]}' |
        while read -r address; do fact address "$address"; done
    fact route "$(ip -o route get "${KOK_TOWARDS:-192.0.2.1}" 2>/dev/null | sed -n 's/.* src \([^ ]*\).*/\1/p')"
}

# reach URL: whether anything at all answers there, in the background
reach() {
    if has curl; then
        problem=$(curl -sS -k -o /dev/null --connect-timeout 5 -m 8 -- "$1" 2>&1) && problem=ok
    else
        problem=$(wget -q --no-check-certificate -t 1 -T 8 -O /dev/null -- "$1" 2>&1)
        # 8: the server answered, though with an error.
        case $? in 0 | 8) problem=ok ;; *) problem="no answer $problem" ;; esac
    fi
    printf 'reach %s %s\n' "$1" "$(printf %s "$problem" | head -n 1)"
}

# probe NAME: its script on standard input (base64)
probe() {
    found=$(base64 -d | timeout 20 sh -eu -s 2>/dev/null | head -n 1 | tr -d ' \t')
    printf 'probe %s %s\n' "$1" "$found"
}

# files NAME: paths on standard input
files() {
    while IFS= read -r path; do
        if [ -f "$path" ]; then
            sum=$(sha256sum <"$path")
            printf 'file %s %s 0%s %s\n' "$1" "${sum%% *}" "$(stat -c %a "$path")" "$path"
            case $path in
                */etc/sysctl.d/*.conf) sysctls "$1" <"$path" ;;
                */etc/modules-load.d/*.conf) modules "$1" <"$path" ;;
            esac
        fi
    done
}

# sysctls NAME: what the kernel has otherwise than the lines on standard input say, of what it would
# take from this host at all
sysctls() {
    sed 's/[#;].*//; s/^[[:space:]-]*//; /^$/d' | while IFS='=' read -r key wanted; do
        key=$(printf %s "$key" | tr -d ' \t')
        setting=${KOK_SYSCTLS:-/proc/sys}/$(printf %s "$key" | tr . /)
        [ -r "$setting" ] && [ -w "$setting" ] || continue
        wanted=$(printf %s "$wanted" | tr -s ' \t' ' ' | sed 's/^ //; s/ $//')
        current=$(tr -s ' \t' ' ' <"$setting" | sed 's/^ //; s/ $//' | head -n 1)
        [ "$current" = "$wanted" ] || say "wrong $1 sysctl $key is $current in place of $wanted"
    done
}

# modules NAME: which of the modules on standard input are not loaded, though they could be
modules() {
    has modprobe || return
    sed 's/[#;].*//; s/[[:space:]]//g; /^$/d' | while read -r module; do
        [ -d "${KOK_MODULES:-/sys/module}/$(printf %s "$module" | tr - _)" ] && continue
        modprobe -n --show-depends -q "$module" 2>/dev/null | tail -n 1 | grep -q '^insmod' || continue
        say "wrong $1 module $module is not loaded"
    done
}

# starts NAME UNIT: whether a service starts with the host
starts() {
    has systemctl || return
    case $(systemctl is-enabled "$2" 2>/dev/null) in
        disabled | masked*) say "wrong $1 service $2 does not start with the host" ;;
    esac
}

belongings() {
    [ -s "$KOK/owner" ] && say "owner $(encoded <"$KOK/owner")"
    for home in "$KOK"/components/*; do
        [ -d "$home" ] && say "record ${home##*/} $(cat "$home/record" 2>/dev/null)"
    done
}

# identity DIRECTORY KUBECONFIG CA BOOTSTRAP: by what the kubelet proves itself, without its key
identity() {
    certificate=$1/kubelet-client-current.pem
    [ -e "$certificate" ] && say "identity certificate $(sed -n '/-BEGIN CERTIFICATE-/,/-END CERTIFICATE-/p' "$certificate" | encoded)"
    [ -e "$2" ] && say "identity server $(sed -n 's/^ *server: *//p' "$2" | head -n 1)"
    [ -e "$3" ] && say "identity ca $(sha256sum <"$3" | cut -d' ' -f1)"
    [ -e "$4" ] && say "identity bootstrap yes"
    has systemctl || return 0
    say "identity kubelet $(systemctl is-active kubelet 2>/dev/null)"
    say "identity started $(started kubelet)"
    # The kubelet goes with the runtime, which therefore tells more. What was installed before services
    # were noted was containerd.
    for unit in $(cat "$KOK"/components/*/services 2>/dev/null | grep -vx kubelet | head -n 64) containerd kubelet; do
        falters "$unit" && say "identity failing $unit $(last_output "$unit" | encoded)" && break
    done
    return 0
}

# started UNIT: when the process of a service was started, by this host's clock as it is now, in
# milliseconds; nothing if it does not run. Rather a moment late than early.
started() {
    process=$(systemctl show -p MainPID "$1" 2>/dev/null | sed -n 's/^MainPID=//p')
    [ "${process:-0}" -gt 0 ] 2>/dev/null || return
    # Its name stands in parentheses, and may be anything.
    told=$(sed 's/.*) //' "/proc/$process/stat" 2>/dev/null)
    up=$(cut -d' ' -f1 /proc/uptime)
    now=$(date +%s%3N)
    case $now in *[!0-9]*) now=$(($(date +%s) + 1))000 ;; esac
    set -- $told
    [ $# -gt 19 ] || return
    shift 19
    say $((now - ${up%.*}${up#*.}0 + $1 * 1000 / $(getconf CLK_TCK 2>/dev/null || echo 100) + 10))
}

# falters UNIT: whether a service has failed, or ends and is started again and again
falters() {
    shown=$(systemctl show -p SubState -p NRestarts -p ActiveEnterTimestampMonotonic "$1" 2>/dev/null)
    case $(property SubState) in
        failed | auto-restart*) return 0 ;;
        running) ;;
        *) return 1 ;;
    esac
    # Between two crashes it runs for a moment.
    [ "$(property NRestarts)" -ge 2 ] 2>/dev/null || return 1
    since=$(property ActiveEnterTimestampMonotonic)
    [ $(($(cut -d. -f1 /proc/uptime) - ${since:-0} / 1000000)) -lt 10 ]
}

property() { printf '%s\n' "$shown" | sed -n "s/^$1=//p"; }

# What the service itself wrote, not what systemd says of it; and of two processes the one that
# ended, not the one that was started after it and has said nothing yet but how it is set up.
last_output() {
    has journalctl || return
    wrote=$(timeout 5 journalctl -q --no-pager -o short -n 500 "_SYSTEMD_UNIT=$1.service" 2>/dev/null |
        sed -n 's/^[^[]*\[\([0-9]*\)\]: /\1 /p')
    runs=$(systemctl show -p MainPID "$1" 2>/dev/null | sed -n 's/^MainPID=//p')
    ended=$(printf '%s\n' "$wrote" | grep -v "^${runs:-0} ")
    printf '%s\n' "${ended:-$wrote}" | sed 's/^[0-9]* //' | tail -n 4 | cut -c1-1000
}
