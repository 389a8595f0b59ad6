/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes of a test's ranks. RONDE_TEST_SHAPE=2+1 says which ranks share a node, from the first on,
 * over and over until all have one; without it all do.
 */
#ifndef RONDE_TESTS_SHAPE_H
#define RONDE_TESTS_SHAPE_H

#include <stdio.h>
#include <stdlib.h>

static inline const char *test_shape(void)
{
	const char *shape = getenv("RONDE_TEST_SHAPE");
	return shape && *shape ? shape : NULL;
}

/* Of ranks 0 … n-1, into node[n]. */
static inline void shape_nodes(const char *shape, int n, int *node)
{
	const char *at = shape;
	for (int r = 0, k = 0; r < n; k++) {
		char *end;
		long width = shape ? strtol(at, &end, 10) : n;
		if (shape && (end == at || width < 1)) {
			fprintf(stderr, "a shape of nodes, %s: not like 2+1\n", shape);
			abort();
		}
		for (long i = 0; i < width && r < n; i++)
			node[r++] = k;
		if (shape)
			at = *end ? end + 1 : shape;
	}
}

/*
 * Which leaf of the tree of a sum each member of a set is, the set's ranks being ascending: those
 * of a node are a subtree whose width is a power of two. Returns how many leaves there are.
 */
static inline int shape_leaves(const int *node, const int *ranks, int n, int *leaf)
{
	int width = 1, nodes = 0, most = 0;
	for (int m = 0; m < n; m++) {
		int before = 0;
		for (int k = 0; k < m; k++)
			before += node[ranks[k]] == node[ranks[m]];
		most = before + 1 > most ? before + 1 : most;
	}
	while (width < most)
		width *= 2;
	for (int m = 0; m < n; m++) {
		int before = 0, first = m;
		for (int k = m - 1; k >= 0; k--)
			if (node[ranks[k]] == node[ranks[m]]) {
				before++;
				first = k;
			}
		leaf[m] = first == m ? nodes++ * width : leaf[first] + before;
	}
	return nodes == 1 ? n : nodes * width;
}

#endif
