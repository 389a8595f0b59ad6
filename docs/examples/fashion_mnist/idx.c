/* SPDX-License-Identifier: Apache-2.0 */
#include "idx.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

/* No deflate stream grows by more than this: a header that promises more than file size × this is
 * wrong, and is found out before memory is asked for. */
enum { MAX_DEFLATE_RATIO = 1032, MAX_DIMS = 3 };

struct reader {
	const char *path;
	gzFile file;
	uint64_t file_bytes;
	char *error;
	size_t error_bytes;
};

__attribute__((format(printf, 2, 3))) static int fail(const struct reader *reader,
						      const char *format, ...)
{
	va_list arguments;
	int used = snprintf(reader->error, reader->error_bytes, "%s: ", reader->path);

	if (used < 0 || (size_t)used >= reader->error_bytes)
		return -1;
	va_start(arguments, format);
	vsnprintf(reader->error + used, reader->error_bytes - (size_t)used, format, arguments);
	va_end(arguments);
	return -1;
}

static int open_reader(struct reader *reader)
{
	int fd = open(reader->path, O_RDONLY | O_CLOEXEC);
	struct stat status;

	if (fd < 0)
		return fail(reader,
			    "cannot be opened: %s. Debian's package dataset-fashion-mnist has this "
			    "file; --data DIR looks for it elsewhere",
			    strerror(errno));
	if (fstat(fd, &status) || !S_ISREG(status.st_mode)) {
		close(fd);
		return fail(reader, "is not an ordinary file");
	}
	reader->file_bytes = (uint64_t)status.st_size;
	reader->file = gzdopen(fd, "rb");
	if (!reader->file) {
		close(fd);
		return fail(reader, "no memory to decompress it");
	}
	return 0;
}

/* Reads exactly `bytes` bytes of what the file holds when decompressed. */
static int read_bytes(const struct reader *reader, void *to, uint64_t bytes, const char *what)
{
	uint64_t have = 0;

	while (have < bytes) {
		uint64_t left = bytes - have;
		int got = gzread(reader->file, (char *)to + have,
				 left > 1 << 24 ? 1 << 24 : (unsigned)left);

		if (got < 0) {
			int code;
			const char *text = gzerror(reader->file, &code);

			if (code != Z_BUF_ERROR)
				return fail(reader, "cannot be decompressed: %s",
					    code == Z_ERRNO ? strerror(errno) : text);
			got = 0; /* a stream cut short */
		}
		if (got == 0)
			return fail(reader,
				    "truncated: %s should have %llu bytes, there are only %llu",
				    what, (unsigned long long)bytes, (unsigned long long)have);
		have += (uint64_t)got;
	}
	return 0;
}

/* Reads the header and checks that the extents after the first are the wanted ones. */
static int read_header(const struct reader *reader, int dims, uint32_t wanted, uint32_t *count,
		       uint64_t *bytes)
{
	uint8_t head[4 + 4 * MAX_DIMS];
	uint64_t each = 1;

	if (read_bytes(reader, head, 4, "the IDX header"))
		return -1;
	if (head[0] || head[1] || head[2] != 8 || head[3] != dims)
		return fail(
			reader,
			"not an IDX file of bytes with %d dimension%s: it begins with %02x %02x "
			"%02x %02x instead of 00 00 08 %02x",
			dims, dims == 1 ? "" : "s", head[0], head[1], head[2], head[3], dims);
	if (read_bytes(reader, head + 4, 4 * (uint64_t)dims, "the IDX header's extents"))
		return -1;
	for (int i = 0; i < dims; i++) {
		const uint8_t *b = head + 4 + 4 * i;
		uint32_t extent = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 |
				  (uint32_t)b[2] << 8 | (uint32_t)b[3];

		if (i == 0) {
			*count = extent;
			continue;
		}
		if (extent != wanted)
			return fail(reader, "extent %d is %u; the network takes images of %u × %u",
				    i + 1, extent, wanted, wanted);
		each *= extent;
	}
	*bytes = *count * each;
	if (!*count)
		return fail(reader, "holds no items");
	if (*bytes / MAX_DEFLATE_RATIO > reader->file_bytes)
		return fail(reader,
			    "truncated: its header promises %llu bytes, its %llu bytes can't hold "
			    "them",
			    (unsigned long long)*bytes, (unsigned long long)reader->file_bytes);
	return 0;
}

static int read_items(struct reader *reader, int dims, uint32_t *count, uint8_t **items)
{
	uint64_t bytes = 0;
	uint8_t extra;
	int status;

	if (open_reader(reader))
		return -1;
	status = read_header(reader, dims, IMAGE_SIDE, count, &bytes);
	if (!status) {
		*items = malloc(bytes);
		if (!*items)
			status = fail(reader, "no memory for its %llu bytes",
				      (unsigned long long)bytes);
	}
	if (!status)
		status = read_bytes(reader, *items, bytes, "the data");
	if (!status) {
		int got = gzread(reader->file, &extra, 1);

		if (got > 0)
			status = fail(reader, "longer than its header says: %u items end before it",
				      *count);
		else if (got < 0)
			status = fail(reader, "its compressed data is damaged or cut short");
	}
	gzclose_r(reader->file);
	return status;
}

static int check_labels(const struct reader *reader, const uint8_t *labels, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (labels[i] >= CLASSES)
			return fail(reader,
				    "label %u of item %u is out of range: labels are 0 to %d",
				    labels[i], i, CLASSES - 1);
	return 0;
}

int dataset_load(struct dataset *dataset, const char *directory, const char *prefix, char *error,
		 size_t error_bytes)
{
	char images_path[4096], labels_path[4096];
	struct reader images = {.path = images_path, .error_bytes = error_bytes};
	struct reader labels = {.path = labels_path, .error_bytes = error_bytes};
	uint32_t label_count = 0;

	*dataset = (struct dataset){0};
	images.error = labels.error = error;
	snprintf(images_path, sizeof(images_path), "%s/%s-images-idx3-ubyte.gz", directory, prefix);
	snprintf(labels_path, sizeof(labels_path), "%s/%s-labels-idx1-ubyte.gz", directory, prefix);
	if (read_items(&images, 3, &dataset->count, &dataset->pixels) ||
	    read_items(&labels, 1, &label_count, &dataset->labels) ||
	    check_labels(&labels, dataset->labels, label_count))
		goto failed;
	if (label_count != dataset->count) {
		fail(&labels, "has %u labels, but %s has %u images", label_count, images_path,
		     dataset->count);
		goto failed;
	}
	return 0;
failed:
	dataset_finish(dataset);
	return -1;
}

void dataset_statistics(const struct dataset *dataset, double *mean, double *deviation)
{
	uint64_t histogram[256] = {0};
	uint64_t count = (uint64_t)dataset->count * IMAGE_PIXELS;
	double sum = 0, squares = 0;

	for (uint64_t i = 0; i < count; i++)
		histogram[dataset->pixels[i]]++;
	for (int value = 0; value < 256; value++) {
		sum += (double)histogram[value] * value;
		squares += (double)histogram[value] * value * value;
	}
	*mean = sum / (double)count;
	*deviation = sqrt(fmax(squares / (double)count - *mean * *mean, 0));
}

void dataset_finish(struct dataset *dataset)
{
	free(dataset->pixels);
	free(dataset->labels);
	*dataset = (struct dataset){0};
}
