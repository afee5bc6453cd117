if [ -e /etc/containerd/conf.d/99-nvidia.toml ]; then
    rm -f /etc/containerd/conf.d/99-nvidia.toml
    rmdir /etc/containerd/conf.d 2>/dev/null || true
    ! systemctl is-active --quiet containerd || systemctl restart containerd
fi
config=/etc/docker/daemon.json
if [ -e "$config.kok-before-nvidia" ]; then
    if [ "$(sha256sum "$config" 2>/dev/null | cut -d " " -f 1)" = "$(cut -d " " -f 1 "$config.kok-with-nvidia" 2>/dev/null)" ]; then
        mv -f "$config.kok-before-nvidia" "$config"
        ! systemctl is-active --quiet docker || systemctl restart docker
    elif [ -e "$config" ]; then
        # Others have changed it since, and what is theirs stays.
        sed 's/\("default-runtime": *\)"nvidia"/\1"runc"/' "$config" >"$config.kok-new"
        mv -f "$config.kok-new" "$config"
        ! systemctl is-active --quiet docker || systemctl restart docker
    fi
    rm -f "$config.kok-before-nvidia" "$config.kok-with-nvidia"
fi
if [ -x /usr/bin/nvidia-ctk ]; then
    systemctl --no-reload --quiet disable nvidia-cdi-refresh.path nvidia-cdi-refresh.service 2>/dev/null || true
    systemctl stop nvidia-cdi-refresh.path nvidia-cdi-refresh.service 2>/dev/null || true
fi
for unit in nvidia-cdi-refresh.path nvidia-cdi-refresh.service; do
    rm -f "/usr/lib/systemd/system/$unit" "/lib/systemd/system/$unit"
done
for program in nvidia-ctk nvidia-cdi-hook nvidia-container-cli nvidia-container-runtime \
    nvidia-container-runtime.cdi nvidia-container-runtime.legacy nvidia-container-runtime-hook \
    nvidia-container-toolkit; do
    rm -f "/usr/bin/$program"
done
rm -f /usr/lib/*-linux-gnu/libnvidia-container*.so* /usr/lib/systemd/system-preset/90-nvidia-container-toolkit.preset
rm -rf /etc/nvidia-container-runtime /etc/nvidia-container-toolkit /var/run/cdi/nvidia.yaml /var/tmp/kok-nvidia-toolkit
