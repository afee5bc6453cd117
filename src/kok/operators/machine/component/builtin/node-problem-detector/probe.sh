[ -x /usr/local/bin/node-problem-detector ] || exit 0
/usr/local/bin/node-problem-detector --version 2>/dev/null | sed -n 's/^v\{0,1\}\([0-9][^ ]*\).*/\1/p'
