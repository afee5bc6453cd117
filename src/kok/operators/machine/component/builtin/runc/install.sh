install -D -m 0755 "$KOK_ARTIFACT_RUNC" /usr/local/sbin/runc.kok-new
mv -f /usr/local/sbin/runc.kok-new /usr/local/sbin/runc
