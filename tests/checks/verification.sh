#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# docs/verification.md says that everything was run: whole, of each number of ranks, of commits that are
# in the history (if it is here: a shallow clone or an archive has none). They may be old ones: when it
# is run again is said there. Whether the judge sees what is missing is tried first, with a page that
# is right and the same page made wrong.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
page=$folder/page

# A log as the suites write it, of a run that is whole.
for n in 1 2 3 4 5 8; do
	echo "census: conformance | $n of $n ranks | 70 of 70 situations" >>"$folder/conformance"
	echo "census: reproducible | $n ranks | 167 of 167 programs, each 3 times" >>"$folder/reproducible"
done
for n in 2 3 4 5; do
	echo "census: disagreements | $n ranks as threads | 525 of 525 random mismatches"
	echo "census: disagreements | $n ranks as processes | 175 of 175 random mismatches"
done >"$folder/disagreements"
for n in 2 3 4 5; do
	echo "census: group_mismatch | $n ranks | 300 of 300 random mismatches of groups"
done >"$folder/group_mismatch"
for memory in heap 'ordinary memory'; do
	for operation in allreduce 'allreduce float16 average' 'allreduce float16 adasum' reducescatter \
		broadcast allgather alltoall 'grouped allreduce' 'sparse allreduce' 'clipping by global norm'; do
		echo "census: large | 2 ranks, $memory | 1 of 1 $operation of 2147495993 elements"
	done
done >"$folder/large"

sed '/^<!-- begin/,/^<!-- end/{//!d}' docs/verification.md >"$page"
status=0
python3 tests/verification.py check "$page" >"$folder/said" || status=$?
[ $status = 77 ] || { echo "a page without figures: $status, $(cat "$folder/said")" && exit 1; }
for suite in conformance reproducible disagreements group_mismatch large; do
	RONDE_TEST_SEED=1 python3 tests/verification.py write "$page" $suite "$folder/$suite" 7
done
# The commit of a tree that is being worked on is not one.
sed -i 's/^commit [^;]*;/commit 0123456789ab, seed 1, 2026-01-01 00:00, 7 s;/' "$page"
python3 tests/verification.py check "$page"

# refuses SED TEXT: with this change the judge says the text.
refuses()
{
	sed "$1" "$page" >"$folder/wrong"
	if python3 tests/verification.py check "$folder/wrong" >"$folder/said" ||
		! grep -qF "$2" "$folder/said"; then
		echo "after $1 the judge says: $(cat "$folder/said")"
		exit 1
	fi
}

refuses 's/^| 4 of 4 ranks | 70 /| 4 of 4 ranks | 69 /' 'conformance: 4 of 4 ranks: only 69 of 70 situations'
refuses '/^| 8 of 8 ranks/d' 'conformance: nothing about 8 of 8 ranks'
refuses 's/| 167 | 167 |/| 166 | 166 |/' 'reproducible: 996 were run, at least 1000 are wanted'
refuses 's/| 525 | 525 |/| 300 | 300 |/' 'disagreements: 1900 were run, at least 2000 are wanted'
refuses 's/alltoall of 2147495993/alltoall of 2147483648/' 'no alltoall of more than 2^31 elements'
refuses '/begin large/,/end large/{/^|/d}' 'large: it has not been run: .ci/long'
refuses 's/^commit 0123456789ab,/&  and changes to it,/' 'it does not say of which commit'

python3 tests/verification.py check docs/verification.md
[ "$(git rev-parse --is-shallow-repository 2>/dev/null)" = false ] || exit 0
sed -n 's/^commit \([0-9a-f]*\),.*/\1/p' docs/verification.md | sort -u | while read -r commit; do
	git merge-base --is-ancestor "$commit" HEAD ||
		{ echo "docs/verification.md: commit $commit is none that HEAD comes from" && exit 1; }
done
