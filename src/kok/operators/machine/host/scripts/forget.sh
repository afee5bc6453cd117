# The very end of a removal: the owner's mark goes last. Nobody claims the host in between.
owned
exec 7<"$KOK"
flock 7
rm -rf "$KOK/jobs" "$KOK/components" "$KOK/cache" "$KOK/locks"
rm -f "$KOK/owner"
rm -rf "$KOK"
