#!/bin/sh
# Counts the instructions of a fire and of a parse under callgrind. Unlike times they are the same
# on every run of one binary, so they are what regressions are judged by.
#
#   ./count-instructions.sh          prints the report; keep it as instructions.md
#   ./count-instructions.sh --check  fails if a fire costs over 5 % more than instructions.md says
set -eu
cd "$(dirname "$0")"
cargo build --quiet --release --bin next-fire
binary=target/release/next-fire
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# MODE FUNCTION ARGUMENT…: instructions inside the function for each fire or expression.
count() {
    function=$2
    mode=$1
    shift 2
    units=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null --collect-atstart=no \
        --toggle-collect="*$function*" "$binary" "$mode" "$@" 2>"$log")
    collected=$(sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$log")
    echo $((collected / units))
}

if [ "${1:-}" = --check ]; then
    recorded=$(sed -n 's/^| schedule | \([0-9]*\) .*/\1/p' instructions.md)
    now=$(count count fires_of_cell schedule)
    echo "instructions a fire: $now, recorded: $recorded"
    [ $((now * 100)) -le $((recorded * 105)) ]
    exit
fi

echo "# Instructions of a next fire"
echo
echo "60 expressions x 5 zones x 200 fires, zone included; written by \`count-instructions.sh\`."
echo "$(rustc --version); $(valgrind --version); $(uname -m)."
echo
echo "| peer | instructions a fire | a parse |"
echo "|---|---|---|"
for peer in schedule cron croner; do
    echo "| $peer | $(count count fires_of_cell $peer) | $(count parse parse_all $peer) |"
done
echo
echo "The ten expressions that cost most here:"
echo
"$binary" expressions | while IFS= read -r expression; do
    echo "$(count count fires_of_cell schedule "$expression") \`$expression\`"
done | sort -rn | head -10 | sed 's/^\([0-9]*\) /- \1: /'
