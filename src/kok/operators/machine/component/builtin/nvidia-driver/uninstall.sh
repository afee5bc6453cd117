# Only what NVIDIA's installer brought, and only if it was run here: packages have no such program.
rm -f /etc/modules-load.d/kok-nvidia.conf /etc/modprobe.d/kok-nouveau.conf
if command -v nvidia-uninstall >/dev/null 2>&1; then
    systemctl stop nvidia-persistenced 2>/dev/null || true
    for module in nvidia_uvm nvidia_drm nvidia_modeset nvidia_peermem nvidia; do
        modprobe -r "$module" 2>/dev/null || true
    done
    nvidia-uninstall --silent || { echo "NVIDIA's uninstaller ended with an error; see /var/log/nvidia-uninstall.log"; exit 1; }
    if command -v update-initramfs >/dev/null 2>&1; then
        update-initramfs -u || true
    elif command -v dracut >/dev/null 2>&1; then
        dracut --force || true
    fi
fi
