[ -x /usr/local/bin/containerd ] && [ -x /usr/local/bin/containerd-shim-runc-v2 ] || exit 0
/usr/local/bin/containerd --version | sed -n 's/^[^ ]* [^ ]* v\{0,1\}\([0-9][^ ]*\).*$/\1/p'
