# The very end of a removal: the owner's mark goes last.
owned
rm -rf "$KOK/jobs" "$KOK/components" "$KOK/cache" "$KOK/locks"
rm -f "$KOK/owner"
rm -rf "$KOK"
