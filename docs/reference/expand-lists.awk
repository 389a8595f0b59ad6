# SPDX-License-Identifier: Apache-2.0
# Filter between the public headers and doxygen, which cannot see through X-macros: where a header
# says RONDE_THINGS_MAP(RONDE_THING_ENUM), this writes the list's items out as enumerators, each
# documented by the last column of its row.
#
#   #define RONDE_THINGS_MAP(X) \        enum ... {
#           X(ONE, 1, "the first")  ->           RONDE_ONE = 1, /**< the first */
#   enum ... { RONDE_THINGS_MAP(...) }   }

/^#define RONDE_[A-Z]+_MAP\(X\)/ {
	list = $2
	sub(/\(.*/, "", list)
}

list && /X\([A-Z0-9_]+, / {
	row = $0
	sub(/^[^(]*\(/, "", row)
	name = row
	sub(/,.*/, "", name)
	value = row
	sub(/^[^,]*, */, "", value)
	sub(/,.*/, "", value)
	text = row
	sub(/^[^"]*"/, "", text)
	sub(/".*/, "", text)
	items[list] = items[list] "\tRONDE_" name " = " value ", /**< " text " */\n"
}

!/\\$/ {
	list = ""
}

/^\t*RONDE_[A-Z]+_MAP\(RONDE_[A-Z]+_ENUM\)/ {
	used = $1
	sub(/\(.*/, "", used)
	printf "%s", items[used]
	next
}

# Helpers of the expansion, gone once it is done.
/^#(define|undef) RONDE_[A-Z]+_ENUM/ {
	next
}

{
	print
}
