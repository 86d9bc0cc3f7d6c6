# What the process is told stays there.
def env: {};

# Time zones of the host are never used.
def localtime: gmtime;
def strflocaltime($format): strftime($format);

# Nothing is written anywhere.
def debug: .;
def debug(message): .;
def stderr: .;

def toarray: if type == "array" then . else [.] end;
def leaf_paths: paths(type | . != "array" and . != "object");
def trimstr($text): ltrimstr($text) | rtrimstr($text);
def isvalid(f): try (f | true) catch false;
def ascii: [.] | implode;
def date: todate;
def dateadd($unit; $n): . + $n;
def datesub($unit; $n): . - $n;
def IN(stream): . as $x | any(stream; . == $x);
def IN(values; stream): any(values; IN(stream));
def INDEX(stream; key): reduce stream as $row ({}; .[$row | key | tostring] = $row);
def INDEX(key): INDEX(.[]; key);
def GROUP_BY(key): group_by(key) | map({key: (.[0] | key | tostring), value: .}) | from_entries;
def have_literal_numbers: true;
def have_decnum: false;
def @csv: [.[] | if type == "string" then "\"" + (split("\"") | join("\"\"")) + "\"" elif type == "null" then "" else tostring end] | join(",");
def @tsv: [.[] | if type == "string" then (split("\\") | join("\\\\") | split("\t") | join("\\t") | split("\n") | join("\\n") | split("\r") | join("\\r")) elif type == "null" then "" else tostring end] | join("\t");
