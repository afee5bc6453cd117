[ -x /usr/local/sbin/runc ] || exit 0
/usr/local/sbin/runc --version | sed -n 's/^runc version \([^ +~-]*\).*/\1/p'
