# Prints FILE:LINE:CODE of Rust sources without comment lines and without items under #[cfg(test)].
# Relies on rustfmt: an item ends with ";" on its first line, or with "}" at its own indentation.
FNR == 1 { skip = 0 }
{
    match($0, /^ */)
    indent = RLENGTH
    text = substr($0, indent + 1)
}
skip == 2 { # inside an item of several lines
    if (indent == depth && text ~ /^\}/) skip = 0
    next
}
text ~ /^#\[cfg\((all\()?test[,)]/ {
    skip = 1
    depth = indent
    next
}
skip == 1 { # in front of the item, or on its first line
    if (text ~ /^(#\[|\/\/)/) next
    skip = text ~ /[;}]$/ ? 0 : 2
    next
}
text !~ /^\/\// { print FILENAME ":" FNR ":" $0 }
