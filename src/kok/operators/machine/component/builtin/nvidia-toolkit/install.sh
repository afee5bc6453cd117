if [ "$(nvidia_gpus)" = 0 ]; then
    echo "the host has no NVIDIA GPU: no toolkit is installed"
    exit 0
fi
fail() { echo "$*"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }
work=/var/tmp/kok-nvidia-toolkit
rm -rf "$work"
mkdir -p "$work/packages" "$work/root"

if [ -e /usr/bin/nvidia-ctk ]; then
    package=
    ! has dpkg || package=$(dpkg -S /usr/bin/nvidia-ctk 2>/dev/null) || package=
    [ -n "$package" ] || ! has rpm || package=$(rpm -qf /usr/bin/nvidia-ctk 2>/dev/null) || package=
    [ -z "$package" ] || fail "the host has a toolkit of the package ${package%%:*}; remove it, or leave spec.nvidia.toolkit out of the KubeNode"
fi

# The packages are unpacked and not installed: their scripts would have systemd read all units anew, by
# which containers may lose their GPUs.
unpack() {
    if has dpkg-deb; then
        dpkg-deb -x "$1" "$work/root"
    elif has ar; then
        (cd "$work" && ar x "$1" && tar -xf data.tar.* -C root && rm -f data.tar.* control.tar.* debian-binary)
    else
        fail "NVIDIA's packages cannot be unpacked: install dpkg, or ar of binutils"
    fi
}
tar -xzf "$KOK_ARTIFACT_PACKAGES" -C "$work/packages" --no-same-owner
find "$work/packages" -name '*.deb' ! -name '*-dev_*' ! -name '*-dbg_*' ! -name '*-dbgsym_*' >"$work/list"
[ -s "$work/list" ] || fail "the artifact holds no Debian packages"
while IFS= read -r package; do unpack "$package"; done <"$work/list"
rm -rf "$work/root/usr/share"

# Each file is replaced in one piece, also one that runs.
(cd "$work/root" && find . ! -type d) >"$work/files"
while IFS= read -r file; do
    file=${file#.}
    case $file in /etc/*) [ ! -e "$file" ] || continue ;; esac
    mkdir -p "${file%/*}"
    cp -P "$work/root$file" "$file.kok-new"
    mv -f "$file.kok-new" "$file"
done <"$work/files"
ldconfig 2>/dev/null || true

# Pods that are not privileged get the GPUs that the kubelet gave them, and not those of which a variable
# of their image speaks.
mkdir -p /etc/nvidia-container-runtime
/usr/bin/nvidia-ctk config --in-place \
    --set accept-nvidia-visible-devices-envvar-when-unprivileged=false \
    --set accept-nvidia-visible-devices-as-volume-mounts=true

sum() { { sha256sum <"$1"; } 2>/dev/null || true; }
{% set default = " --set-as-default" if params.defaultRuntime else "" %}
{% if params.runtime == "docker" %}
config=/etc/docker/daemon.json
mkdir -p "${config%/*}"
[ -e "$config" ] || echo '{}' >"$config"
# What was there before is kept: with a default runtime that is gone no container starts.
grep -q nvidia-container-runtime "$config" || cp "$config" "$config.kok-before-nvidia"
before=$(sum "$config")
/usr/bin/nvidia-ctk runtime configure --runtime=docker --config="$config" --cdi.enabled{{ default }}
sum "$config" >"$config.kok-with-nvidia"
[ "$(sum "$config")" = "$before" ] || ! systemctl is-active --quiet docker || systemctl restart docker
{% else %}
config=/etc/containerd/config.toml
grep -q '^imports.*/conf[.]d/[*][.]toml' "$config" || fail "$config does not read conf.d/*.toml beside it; delete the Component of containerd, which is then made anew"
dropin=/etc/containerd/conf.d/99-nvidia.toml
before=$(sum "$dropin")
mkdir -p "${dropin%/*}"
# It writes the main file anew as well, which is none of its business: it gets a copy. What an earlier run
# wrote must not count. The drop-in repeats the options of runc (cgroup driver: {{ params.cgroupDriver }}),
# and is made anew with them.
cp "$config" "$work/config.toml"
rm -f "$dropin"
/usr/bin/nvidia-ctk runtime configure --runtime=containerd --config="$work/config.toml" \
    --drop-in-config="$dropin" --cdi.enabled{{ default }}
if [ "$(sum "$dropin")" != "$before" ]; then
    /usr/local/bin/containerd config dump 2>/dev/null | grep -q nvidia-container-runtime || {
        rm -f "$dropin"
        fail "containerd cannot read what nvidia-ctk wrote to $dropin; it was removed"
    }
    ! systemctl is-active --quiet containerd || systemctl restart containerd
fi
{% endif %}

# Units that are new need no reload of systemd; those of before stay as they were until the next boot.
for unit in nvidia-cdi-refresh.path nvidia-cdi-refresh.service; do
    [ -e "/usr/lib/systemd/system/$unit" ] || [ -e "/lib/systemd/system/$unit" ] || continue
    systemctl --no-reload --quiet enable "$unit"
done
systemctl start nvidia-cdi-refresh.path
# The first line that needs a GPU with its driver. Without one, as before a boot, it is for the units.
systemctl restart nvidia-cdi-refresh.service || echo "no CDI specification yet: nvidia-cdi-refresh.service cannot make one"
rm -rf "$work"
