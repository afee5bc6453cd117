# Merges the members of one JSON object into another, and only those of the topmost level: what is in
# them is taken as it is written. Of both files and of the note the names stand in the environment.

function slurp(name,    line, whole) {
    while ((getline line < name) > 0) whole = whole line "\n"
    close(name)
    return whole
}

function blank(c) { return c == " " || c == "\t" || c == "\n" || c == "\r" }

# The place of the next character that is no blank.
function skip(text, at) {
    while (at <= length(text) && blank(substr(text, at, 1))) at++
    return at
}

# The place behind a string that begins at a place; 0 if it has no end.
function past(text, at,    c) {
    for (at++; at <= length(text); at++) {
        c = substr(text, at, 1)
        if (c == "\\") at++
        else if (c == "\"") return at + 1
    }
    return 0
}

# The place of the comma or bracket that ends a value; 0 if there is none.
function ending(text, at,    c, depth) {
    while (at <= length(text)) {
        c = substr(text, at, 1)
        if (c == "\"") {
            at = past(text, at)
            if (!at) return 0
            continue
        }
        if (!depth && (c == "," || c == "}")) return at
        if (c == "{" || c == "[") depth++
        if (c == "}" || c == "]") depth--
        at++
    }
    return 0
}

# Reads the members of an object; 0 if it is none. Nothing at all is an empty one.
function members(text, keys, values,    at, end, key, value, count) {
    at = skip(text, 1)
    if (at > length(text)) return 1
    if (substr(text, at, 1) != "{") return 0
    at = skip(text, at + 1)
    if (substr(text, at, 1) == "}") return skip(text, at + 1) > length(text)
    for (;;) {
        if (substr(text, at, 1) != "\"") return 0
        end = past(text, at)
        if (!end) return 0
        key = substr(text, at, end - at)
        at = skip(text, end)
        if (substr(text, at, 1) != ":") return 0
        at = skip(text, at + 1)
        end = ending(text, at)
        if (!end) return 0
        value = substr(text, at, end - at)
        sub(/[ \t\r\n]+$/, "", value)
        if (value == "") return 0
        if (!(key in values)) keys[++count] = key
        values[key] = value
        if (substr(text, end, 1) == "}") return skip(text, end + 1) > length(text)
        at = skip(text, end + 1)
    }
}

function on_one_line(text) {
    gsub(/[\r\n]+/, " ", text)
    return text
}

BEGIN {
    if (!members(slurp(ENVIRON["HAVE"]), order, have)) exit 1
    if (!members(slurp(ENVIRON["WANTED"]), wishes, wanted)) exit 1
    while ((getline line < ENVIRON["WAS"]) > 0) {
        tab = index(line, "\t")
        if (tab) was[substr(line, 1, tab - 1)] = substr(line, tab + 1)
    }
    for (key in was) {
        if (key in wanted) continue
        if (was[key] != "") have[key] = was[key]
        else delete have[key]
        delete was[key]
    }
    for (total = 0; (total + 1) in order; total++);
    for (i = 1; i in wishes; i++) {
        key = wishes[i]
        if (!(key in was)) was[key] = key in have ? on_one_line(have[key]) : ""
        have[key] = wanted[key]
    }
    printf "" > ENVIRON["NOTED"]
    for (key in was) printf "%s\t%s\n", key, was[key] > ENVIRON["NOTED"]
    close(ENVIRON["NOTED"])
    # What was there stays in its place, and what is new comes after it.
    for (i = 1; i <= total; i++) if (order[i] in have && !(order[i] in told)) {
        told[order[i]]
        listed[++count] = order[i]
    }
    for (i = 1; i in wishes; i++) if (!(wishes[i] in told)) {
        told[wishes[i]]
        listed[++count] = wishes[i]
    }
    for (key in have) if (!(key in told)) listed[++count] = key
    if (!count) exit 0
    print "{"
    for (i = 1; i <= count; i++) printf "  %s: %s%s\n", listed[i], have[listed[i]], i < count ? "," : ""
    print "}"
}
