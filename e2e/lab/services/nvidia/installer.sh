#!/bin/sh
# What the lab serves in the place of NVIDIA's runfile: it takes its options, and leaves files where that
# leaves them. There is no driver in it.
version=@VERSION@
case " $* " in
*" --advanced-options "*)
    echo "  --silent  --no-x-check  --no-nouveau-check  --no-check-for-alternate-installs"
    echo "  --skip-module-load  --rebuild-initramfs, --no-rebuild-initramfs"
    echo "  --kernel-module-type=KERNEL-MODULE-TYPE"
    exit
    ;;
esac
mkdir -p /var/lib/kok-lab /var/log
echo "$*" >>/var/lib/kok-lab/nvidia-installer
libraries=/usr/lib/$(uname -m)-linux-gnu
modules=/lib/modules/$(uname -r)/kernel/drivers/video
[ -e "/lib/modules/$(uname -r)/build/Makefile" ] || {
    echo "ERROR: Unable to find the kernel source tree" >/var/log/nvidia-installer.log
    exit 1
}
mkdir -p "$libraries" "$modules"
for library in libnvidia-ml libcuda; do
    rm -f "$libraries/$library".so.*
    : >"$libraries/$library.so.$version"
    ln -s "$library.so.$version" "$libraries/$library.so.1"
done
for module in nvidia nvidia-uvm nvidia-modeset nvidia-drm; do echo "$version" >"$modules/$module.ko"; done
cat >/usr/bin/nvidia-smi <<END
#!/bin/sh
[ -d /sys/module/nvidia ] || {
    echo "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."
    exit 9
}
for device in /sys/bus/pci/devices/*; do
    [ "\$(cat "\$device/vendor")" = 0x10de ] && echo "$version, 4096, Lab GPU of no use"
done
exit 0
END
cat >/usr/bin/nvidia-uninstall <<END
#!/bin/sh
rm -f "$libraries"/libnvidia-ml.so.* "$libraries"/libcuda.so.* "$modules"/nvidia*.ko
rm -f /usr/bin/nvidia-smi /usr/bin/nvidia-uninstall
END
chmod 0755 /usr/bin/nvidia-smi /usr/bin/nvidia-uninstall
