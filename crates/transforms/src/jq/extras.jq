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

# Parts of a text are put together at once, which takes no square of its length.
def sub(re; f; flags):
  def handle: if type == "array" then capture_of_match | f end;
  [split_matches(re; flags)[] | [handle]] as $parts
  | if all($parts[]; length == 1) then [$parts[][0]] | _concat
    else reduce $parts[] as $part (""; . + $part[]) end;
def sub(re; f): sub(re; f; "");
def gsub(re; f; flags): sub(re; f; "g" + flags);
def gsub(re; f): sub(re; f; "g");

# From the last to the first, so that no removal moves what is still to be removed.
def _remove($path):
  if ($path | length) == 0 then null
  elif try (getpath($path[:-1]) | type == "null") catch true then .
  else getpath($path) |= empty end;
def delpaths($paths):
  reduce ($paths | unique | sort_by(map(if type == "object" then .start // 0 else . end)) | reverse | .[]) as $path
    (.; _remove($path));
def del(f): delpaths([path(f)]);

# A group that is not there keeps its place.
def scan(re; flags): matches(re; "g" + flags)[] | [.[].string] | if length > 1 then .[1:] else .[0] end;
def scan(re): scan(re; "");
