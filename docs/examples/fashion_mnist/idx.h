/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fashion-MNIST as it is distributed: gzipped IDX files. An IDX file is four bytes 0, 0, type (8:
 * unsigned bytes), number of dimensions; one big-endian 32-bit extent a dimension; the data.
 */
#ifndef FASHION_MNIST_IDX_H
#define FASHION_MNIST_IDX_H

#include <stddef.h>
#include <stdint.h>

enum { IMAGE_SIDE = 28, IMAGE_PIXELS = IMAGE_SIDE * IMAGE_SIDE, CLASSES = 10 };

struct dataset {
	uint32_t count;
	uint8_t *pixels; /* count × IMAGE_PIXELS */
	uint8_t *labels; /* count, each below CLASSES */
};

/*
 * Reads DIR/PREFIX-images-idx3-ubyte.gz and DIR/PREFIX-labels-idx1-ubyte.gz. Returns 0, or -1 with
 * a text in `error` that names the file and says what is wrong with it.
 */
int dataset_load(struct dataset *dataset, const char *directory, const char *prefix, char *error,
		 size_t error_bytes);

/* Mean and standard deviation of all pixels. */
void dataset_statistics(const struct dataset *dataset, double *mean, double *deviation);

void dataset_finish(struct dataset *dataset);

#endif
