#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The examples do what they say: the same network with 1, 2 and 4 ranks, errors that name the file,
# and no rank that is left waiting.
#
# usage: tests/examples.sh BUILD-FOLDER
set -euo pipefail

examples=$1/docs/examples
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

fashion_mnist=/usr/share/datasets/fashion-mnist
mushroom=/usr/share/doc/libfann-dev/examples/datasets
for program in hello fashion_mnist fann_mushroom; do
	[ -x "$examples/$program" ] || {
		echo "$examples/$program is not built: it needs OpenBLAS, zlib, FANN and -Dexamples=enabled"
		exit 77
	}
done

# Several ranks share the cores here.
export OPENBLAS_NUM_THREADS=1

ok()
{
	echo "ok $1"
}

not_ok()
{
	tail -n 30 "$folder"/out.* 2>/dev/null || true
	echo "not ok $1 - $2"
}

# ranks N COMMAND...: runs N ranks of it, without a launcher. What rank i prints goes to
# $folder/out.i; "{rank}" in an argument becomes its rank. Returns the first status that is not 0;
# 124: a rank had not ended after two minutes.
ranks()
{
	local size=$1 rank pids=() status=0
	shift
	rm -f "$folder"/out.*
	for ((rank = 0; rank < size; rank++)); do
		RONDE_RANK=$rank RONDE_SIZE=$size RONDE_ADDRESS=ronde-examples-$$-$serial \
			timeout 120 "${@//\{rank\}/$rank}" >"$folder/out.$rank" 2>&1 </dev/null &
		pids+=($!)
	done
	for rank in "${!pids[@]}"; do
		wait "${pids[rank]}" || status=${status/#0/$?}
	done
	serial=$((serial + 1))
	return "$status"
}
serial=0

# Largest difference of the numbers in two files, word by word; fails if they are not of one shape.
difference()
{
	awk 'function abs(x) { return x < 0 ? -x : x }
	NR == FNR { lines[FNR] = $0; n = FNR; next }
	{
		m = FNR
		words = split(lines[FNR], a, /[ ,()=]+/)
		if (words != split($0, b, /[ ,()=]+/)) { print "inf"; odd = 1; exit }
		for (i = 1; i <= words; i++)
			if (abs(a[i] - b[i]) > most) most = abs(a[i] - b[i])
	}
	END { if (!odd) print (n == m && n > 0 ? most + 0 : "inf") }' "$1" "$2"
}

at_most()
{
	awk -v a="$1" -v b="$2" 'BEGIN { exit !(a ~ /^[0-9]/ && a + 0 <= b + 0) }'
}

check_hello()
{
	local size
	for size in 1 2 3; do
		if ranks $size "$examples/hello" && grep -q 'y = 3.00 x + 1.00' "$folder/out.0"; then
			ok hello-$size
		else
			not_ok hello-$size "did not find y = 3 x + 1"
		fi
	done
}

# check_small NAME LEAST: prints one line "…, N of 1000 right"; N is at least LEAST, and with 2 and 4
# ranks the numbers are those of one rank, up to rounding.
check_small()
{
	local name=$1 least=$2 size right
	if [ ! -x "$examples/$name" ]; then
		echo "skip $name - $examples/$name is not built: its compiler is missing"
		return
	fi
	for size in 1 2 4; do
		if ! ranks $size "$examples/$name"; then
			not_ok "$name-$size" "it fails"
			return
		fi
		cp "$folder/out.0" "$folder/$name.$size"
		right=$(sed -n 's/.*, \([0-9]*\) of 1000 right$/\1/p' "$folder/$name.$size")
		if [ "${right:-0}" -ge "$least" ] &&
			at_most "$(difference "$folder/$name.1" "$folder/$name.$size")" 1e-9; then
			ok "$name-$size"
		else
			not_ok "$name-$size" "$(cat "$folder/$name.$size"), 1 rank: $(cat "$folder/$name.1")"
		fi
	done
}

check_help()
{
	if "$examples/fashion_mnist" --help >"$folder/out.0" 2>&1 &&
		grep -q -- --data=DIR "$folder/out.0"; then
		ok help
	else
		not_ok help "--help does not tell of --data"
	fi
	local bad status
	for bad in --batch=0 --lr=fast --optimizer=sdg --epochs=1x; do
		status=0
		"$examples/fashion_mnist" "$bad" >"$folder/out.0" 2>&1 || status=$?
		if [ $status -eq 64 ] && grep -q -- "${bad%%=*}: \"${bad#*=}\" is " "$folder/out.0"; then
			ok "refuses$bad"
		else
			not_ok "refuses$bad" "exit status $status"
		fi
	done
}

# check_losses NAME MOST STEPS SIZES OPTION...: the losses of the first steps are those of one rank,
# up to MOST.
check_losses()
{
	local name=$1 most=$2 steps=$3 sizes=$4 size apart
	shift 4
	if ! ranks 1 "$examples/fashion_mnist" --steps="$steps" --losses="$folder/losses.1" "$@"; then
		not_ok "$name-1" "training failed"
		return
	fi
	for size in $sizes; do
		if ! ranks "$size" "$examples/fashion_mnist" --steps="$steps" \
			--losses="$folder/losses" "$@"; then
			not_ok "$name-$size" "training failed"
			continue
		fi
		apart=$(difference "$folder/losses.1" "$folder/losses")
		if [ "$(wc -l <"$folder/losses")" -eq "$steps" ] && at_most "$apart" "$most"; then
			ok "$name-$size"
			echo "    losses of $size ranks differ by at most $apart"
		else
			not_ok "$name-$size" "losses differ from those of one rank by $apart"
		fi
	done
}

# Rprop looks only at the signs of the sums: as long as rounding does not turn one, the weights are
# the same bit for bit.
check_fann()
{
	local size apart
	for size in 1 2 4; do
		if ! ranks $size "$examples/fann_mushroom" "$mushroom" "$folder/network.$size" ||
			! grep -q '^after training: .* 0 wrong outputs' "$folder/out.0"; then
			not_ok fann-$size "did not learn"
			continue
		fi
		sed -n 's/^connections .*)=//p' "$folder/network.$size" >"$folder/weights.$size"
		apart=$(difference "$folder/weights.1" "$folder/weights.$size")
		if at_most "$apart" 1e-3; then
			ok fann-$size
			echo "    weights of $size ranks differ by at most $apart"
		else
			not_ok fann-$size "weights differ from those of one rank by $apart"
		fi
	done
	if ranks 2 "$examples/fann_mushroom" /nowhere; then
		not_ok fann-missing "no error for a missing file"
	elif [ $? -ne 124 ] && grep -q /nowhere/mushroom.train "$folder"/out.*; then
		ok fann-missing
	else
		not_ok fann-missing "the file is not named, or a rank hangs"
	fi
}

# idx FILE COUNT VALUE [EXTENT...]: an IDX file of COUNT items whose bytes are all VALUE (octal).
idx()
{
	local file=$1 count=$2 value=$3 extent bytes=$2
	shift 3
	{
		printf '\0\0\10'
		printf %b "\\0$(printf %o $(($# + 1)))"
		for extent in "$count" "$@"; do
			printf '\0\0'
			printf %b "\\0$(printf %o $((extent / 256)))\\0$(printf %o $((extent % 256)))"
		done
		for extent; do
			bytes=$((bytes * extent))
		done
		head -c "$bytes" /dev/zero | tr '\0' "\\$value"
	} | gzip >"$folder/data/$file.gz"
}

small_data()
{
	rm -rf "$folder/data"
	mkdir "$folder/data"
	idx train-images-idx3-ubyte 40 7 28 28
	idx train-labels-idx1-ubyte 40 3
	idx t10k-images-idx3-ubyte 10 7 28 28
	idx t10k-labels-idx1-ubyte 10 3
}

# refused NAME FILE TEXT [FOLDER]: two ranks end with an error that names FILE and says TEXT, once.
refused()
{
	local name=$1 file=$2 text=$3 data=${4:-$folder/data} status=0
	ranks 2 "$examples/fashion_mnist" --data="$data" --epochs=1 || status=$?
	if [ $status -eq 1 ] &&
		[ "$(cat "$folder"/out.* | grep -c "rank [01]: .*/$file.*: .*$text")" -eq 1 ]; then
		ok "data-$name"
	else
		not_ok "data-$name" "exit status $status, wanted 1 and one line with $file and \"$text\""
	fi
}

# The last lines of rank 0's output, and of nobody else's: what training came to.
check_summary()
{
	local line
	for line in 'epoch 2/2: loss [0-9.]*, test accuracy [01]\.[0-9]*, [0-9.]* s of training' \
		'test accuracy  [01]\.[0-9]\{4\}' 'epoch time     [0-9.]* s, without loading and evaluation' \
		'images/s       [1-9][0-9]* on 2 ranks' \
		"communication  [0-9.]* to [0-9.]* % of a rank's time was spent waiting for it"; do
		if [ "$(cat "$folder"/out.[01] | grep -cx "$line")" -ne 1 ]; then
			not_ok summary "not one line like \"$line\""
			return
		fi
	done
	ok summary
}

# A bar is drawn again and again on a terminal; script(1) makes one.
check_progress()
{
	script -qec "$examples/fashion_mnist --data=$folder/data --batch=8 --epochs=100000 --time-limit=1" \
		/dev/null >"$folder/out.0" 2>&1 </dev/null || true
	if [ "$(tr '\r' '\n' <"$folder/out.0" |
		grep -cE 'epoch [0-9]+/100000 \[#*\.*\] +[0-9]+ %  loss [0-9.]+ +[1-9][0-9]* images/s  waiting +[0-9.]+ %')" -ge 2 ]; then
		ok progress
	else
		not_ok progress "no bar on a terminal"
	fi
}

# The exit status tells whether the accuracy that was asked for is reached.
check_target()
{
	local status=0
	ranks 2 "$examples/fashion_mnist" --data="$folder/data" --epochs=20 --batch=8 --target-accuracy=1 || status=$?
	if [ $status -eq 0 ] && grep -qx 'test accuracy  1.0000' "$folder/out.0"; then
		ok target-reached
	else
		not_ok target-reached "exit status $status"
	fi
	status=0
	idx t10k-labels-idx1-ubyte 10 4
	ranks 2 "$examples/fashion_mnist" --data="$folder/data" --epochs=1 --batch=8 --target-accuracy=1 || status=$?
	if [ $status -eq 2 ]; then
		ok target-missed
	else
		not_ok target-missed "exit status $status, not 2"
	fi
}

check_data()
{
	local images=train-images-idx3-ubyte.gz labels=train-labels-idx1-ubyte.gz
	small_data
	if ranks 2 "$examples/fashion_mnist" --data="$folder/data" --epochs=2 --batch=8; then
		ok data-small
		check_summary
	else
		not_ok data-small "a small data set should do"
	fi
	if ranks 3 "$examples/fashion_mnist" --data="$folder/data" --epochs=1 --batch=2; then
		ok data-idle-rank
	else
		not_ok data-idle-rank "a batch smaller than the number of ranks should do"
	fi
	rm "$folder/data/$labels"
	refused missing $labels 'cannot be opened: No such file'
	small_data
	mv "$folder/data" "$folder/good"
	small_data
	rm "$folder/data/$labels"
	ln -s "$folder/good" "$folder/rank.0"
	ln -s "$folder/data" "$folder/rank.1"
	refused missing-on-one-rank $labels 'cannot be opened' "$folder/rank.{rank}"
	small_data
	truncate -s -20 "$folder/data/$images"
	refused damaged $images 'truncated\|decompressed\|damaged'
	small_data
	gzip -dc "$folder/data/$images" | head -c 20000 | gzip >"$folder/short"
	mv "$folder/short" "$folder/data/$images"
	refused truncated $images 'truncated: .* should have 31360 bytes, there are only 19984'
	idx $images 40 7 28 28
	printf '\0\0\10\3\377\377\377\377\0\0\0\34\0\0\0\34' | gzip >"$folder/data/$images"
	refused boundless $images 'truncated: its header promises'
	small_data
	echo "This is no IDX file." | gzip >"$folder/data/$images"
	refused not-idx $images 'not an IDX file'
	echo "Nor is this, and it is not even compressed." >"$folder/data/$images"
	refused not-gzip $images 'not an IDX file'
	: >"$folder/data/$images"
	refused empty $images 'truncated: the IDX header'
	small_data
	idx ${images%.gz} 40 7 32 32
	refused extents $images 'takes images of 28 × 28'
	small_data
	idx ${labels%.gz} 40 12
	refused labels $labels 'label 10 of item 0 is out of range'
	small_data
	idx ${labels%.gz} 39 3
	refused counts $labels "has 39 labels, but .*/$images has 40 images"
	idx ${labels%.gz} 0 3
	refused no-items $labels 'holds no items'
	small_data
	if ranks 2 "$examples/fashion_mnist" --data="$folder/data" --losses=/nowhere/losses; then
		not_ok losses-unwritable "no error"
	elif [ $? -eq 1 ] && grep -q -- '--losses: /nowhere/losses cannot be written' "$folder/out.0"; then
		ok losses-unwritable
	else
		not_ok losses-unwritable "the file is not named"
	fi
}

check_hello
check_small circles 950
check_small logistic 990
check_help
small_data
check_progress
check_target
check_data
if [ -e $fashion_mnist/train-images-idx3-ubyte.gz ]; then
	# Where shares are made of whole parts: the same bits. Elsewhere rounding differs, and training
	# magnifies that the longer it goes on.
	check_losses losses-adam 0 100 "2 4"
	check_losses losses-sgd 0 30 2 --optimizer=sgd --batch=64 --no-heap
	check_losses losses-uneven 1e-4 30 3 --optimizer=sgd --batch=100
else
	echo "skip losses - $fashion_mnist is missing: install dataset-fashion-mnist"
fi
if [ -e $mushroom/mushroom.train ] || [ -e $mushroom/mushroom.train.gz ]; then
	check_fann
else
	echo "skip fann - $mushroom/mushroom.train is missing: install libfann-doc"
fi
