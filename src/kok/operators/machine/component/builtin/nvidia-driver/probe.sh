# Where there is no GPU nothing is needed; the Machine's condition tells of that.
[ "$(nvidia_gpus)" != 0 ] || { echo {{ version }}; exit 0; }
found=
for library in /usr/lib/*-linux-gnu/libnvidia-ml.so.[0-9]*.* /usr/lib64/libnvidia-ml.so.[0-9]*.*; do
    [ ! -e "$library" ] || found=${library##*/libnvidia-ml.so.}
done
[ -n "$found" ] || exit 0
# Another kernel has to have modules of its own.
modules=/lib/modules/$(uname -r)
for module in "$modules"/kernel/drivers/video/nvidia.ko* "$modules"/updates/nvidia.ko* \
    "$modules"/updates/dkms/nvidia.ko* "$modules"/extra/nvidia.ko* "$modules"/video/nvidia.ko*; do
    [ -e "$module" ] || continue
    echo "$found"
    exit 0
done
