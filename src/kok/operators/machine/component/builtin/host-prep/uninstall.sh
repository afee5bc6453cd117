# What the kernel was told stays so until the next boot: others may rely on it by now.
rm -f /etc/modules-load.d/kok.conf /etc/sysctl.d/99-kok.conf
