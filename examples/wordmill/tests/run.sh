#!/bin/sh
# Tests the wordmill that lies beside this script: ../bin/wordmill.
set -u
here=$(cd "$(dirname "$0")" && pwd)
mill=$here/../bin/wordmill
failed=0

# expect NAME INPUT WANTED [OPTION...]
expect() {
	name=$1 input=$2 want=$3
	shift 3
	got=$(printf '%b' "$input" | "$mill" "$@" 2>&1)
	if [ "$got" = "$want" ]; then
		echo "ok   $name"
	else
		echo "FAIL $name"
		echo "     want: $want"
		echo "     got:  $got"
		failed=1
	fi
}

expect "nothing" '' '0 lines, 0 words, 0 bytes'
expect "one line" 'hello world\n' '1 lines, 2 words, 12 bytes'
expect "no newline at the end" 'last word' '0 lines, 2 words, 9 bytes'
expect "blanks and punctuation" '  a, b;\n\n c\n' '3 lines, 3 words, 12 bytes'
expect "apostrophes" "don't stop\n" '1 lines, 2 words, 11 bytes'
expect "most frequent" 'the mill The wheel the water\n' '1 lines, 6 words, 29 bytes
      3 the
      1 mill' --top 2
expect "ties in order" 'b a c\n' '1 lines, 3 words, 6 bytes
      1 a
      1 b
      1 c' --top 9
expect "words of other scripts" 'größe größe 日本\n' '1 lines, 3 words, 23 bytes
      2 größe' --top 1

# More words than the table holds at first; every one twice, so that growing may lose none.
many=$(awk 'BEGIN { for (i = 0; i < 5000; i++) print "w" i % 2500 }')
expect "many words" "$many" '4999 lines, 5000 words, 27779 bytes
      2 w0
      2 w1' --top 2
"$mill" --top x </dev/null >/dev/null 2>&1
[ $? = 2 ] || { echo "FAIL a bad option is told from a bad file"; failed=1; }
"$mill" /no/such/file >/dev/null 2>&1 && { echo "FAIL a missing file is an error"; failed=1; }
[ "$failed" = 0 ] && echo "all tests passed"
exit "$failed"
