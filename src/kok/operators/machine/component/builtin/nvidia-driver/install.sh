if [ "$(nvidia_gpus)" = 0 ]; then
    echo "the host has no NVIDIA GPU: no driver is installed"
    exit 0
fi
fail() { echo "$*"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }
kernel=$(uname -r)
modules=/lib/modules/$kernel

# A driver that packages brought would be half replaced, and be back with their next update.
for library in /usr/lib/*-linux-gnu/libnvidia-ml.so.1 /usr/lib64/libnvidia-ml.so.1; do
    [ -e "$library" ] || continue
    package=
    ! has dpkg || package=$(dpkg -S "$library" 2>/dev/null) || package=
    [ -n "$package" ] || ! has rpm || package=$(rpm -qf "$library" 2>/dev/null) || package=
    [ -z "$package" ] || fail "the host has a driver of the package ${package%%:*}; remove it, or leave spec.nvidia.driver out of the KubeNode"
done

ready() { [ -e "$modules/build/Makefile" ] && has make && { has cc || has gcc; }; }
if ! ready; then
{% if params.kernelHeaders == "Install" %}
    echo "installing what kernel modules are built with"
    if has apt-get; then
        export DEBIAN_FRONTEND=noninteractive
        apt-get -q update || true
        apt-get -q -y --no-install-recommends install "linux-headers-$kernel" gcc make libc6-dev || true
    elif has dnf; then
        dnf -q -y install "kernel-devel-$kernel" gcc make elfutils-libelf-devel || true
    elif has zypper; then
        zypper -q -n install kernel-default-devel gcc make || true
    fi
{% endif %}
    ready || fail "the headers of kernel $kernel ($modules/build), make or a C compiler are missing, and kernel modules cannot be built without; install them"
fi

# What holds the GPUs has to go. What cannot go now goes with one boot of the host.
boot=
initramfs=
if [ -d /sys/module/nouveau ]; then
    initramfs=yes
    modprobe -r nouveau 2>/dev/null || true
    [ ! -d /sys/module/nouveau ] || boot="the driver nouveau holds the GPUs"
fi
version() { cat /sys/module/nvidia/version 2>/dev/null || echo {{ version }}; }
if [ "$(version)" != {{ version }} ]; then
    systemctl stop nvidia-persistenced 2>/dev/null || true
    for module in nvidia_uvm nvidia_drm nvidia_modeset nvidia_peermem nvidia; do
        [ ! -d "/sys/module/$module" ] || modprobe -r "$module" 2>/dev/null || true
    done
    [ "$(version)" = {{ version }} ] || boot="the driver $(version) is in use"
fi

there() {
    for library in /usr/lib/*-linux-gnu/libnvidia-ml.so.{{ version }} /usr/lib64/libnvidia-ml.so.{{ version }}; do
        [ -e "$library" ] || continue
        for module in "$modules"/kernel/drivers/video/nvidia.ko* "$modules"/updates/nvidia.ko* \
            "$modules"/updates/dkms/nvidia.ko* "$modules"/extra/nvidia.ko* "$modules"/video/nvidia.ko*; do
            [ ! -e "$module" ] || return 0
        done
    done
    return 1
}
if ! there; then
    # Of its options each release of the installer has some.
    known=$(sh "$KOK_ARTIFACT_INSTALLER" --advanced-options 2>/dev/null || true)
    set -- --silent
    for option in --no-x-check --no-nouveau-check --no-check-for-alternate-installs --skip-module-load \
        --allow-installation-with-running-driver --no-rebuild-initramfs; do
        case $known in *"$option"*) set -- "$@" "$option" ;; esac
    done
    case $known in *--kernel-module-type*) set -- "$@" --kernel-module-type={{ params.kernelModules }} ;; esac
    TMPDIR=/var/tmp sh "$KOK_ARTIFACT_INSTALLER" "$@" || {
        told=$(sed -n 's/^ *ERROR: *//p' /var/log/nvidia-installer.log 2>/dev/null | tail -n 1)
        fail "NVIDIA's installer ended with an error: ${told:-see /var/log/nvidia-installer.log}"
    }
fi
printf '%s\n' '# Kept by KOK.' nvidia nvidia_uvm >/etc/modules-load.d/kok-nvidia.conf
if [ -n "$initramfs" ]; then
    if has update-initramfs; then
        update-initramfs -u -k "$kernel" || fail "the initramfs cannot be made anew without nouveau"
    elif has dracut; then
        dracut --force --kver "$kernel" || fail "the initramfs cannot be made anew without nouveau"
    fi
fi
if [ -n "$boot" ]; then
    # The operator sees to it, once, when no pod is in the way.
    echo "$boot, and lets go of them when the host boots" >"$KOK_REBOOT"
    exit 0
fi
problem=$(modprobe nvidia 2>&1) || fail "the module nvidia cannot be loaded: $(printf '%s\n' "$problem" | tail -n 1); with Secure Boot its key has to be enrolled, and a GPU older than Turing needs kernelModules: proprietary"
modprobe nvidia_uvm 2>/dev/null || true
