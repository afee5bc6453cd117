[ -x /usr/local/bin/cri-dockerd ] || exit 0
/usr/local/bin/cri-dockerd --version 2>/dev/null | sed -n 's/^cri-dockerd v\{0,1\}\([^ ]*\).*/\1/p'
