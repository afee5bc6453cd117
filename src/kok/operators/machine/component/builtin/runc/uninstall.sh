rm -f /usr/local/sbin/runc /usr/local/sbin/runc.kok-new
