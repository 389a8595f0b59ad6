/* SPDX-License-Identifier: Apache-2.0 */
/* The least program that trains: finds y = 3x + 1 from points that are spread over the ranks. */
#include <ronde/ronde.h>
#include <stdio.h>
#include <stdlib.h>

static float weights[2], gradients[2], rate = 0.5f;
static const ronde_parameter line = {"line", weights, gradients, 2, RONDE_FLOAT32};

static int step(void *state) /* your own update; knows nothing of other ranks */
{
	(void)state;
	for (int i = 0; i < 2; i++)
		weights[i] -= rate * gradients[i];
	return 0;
}

static void check(int status)
{
	if (status) {
		fprintf(stderr, "hello: %s\n", ronde_error_message());
		exit(1);
	}
}

int main(void)
{
	ronde_distributed_optimizer *optimizer;
	float loss = 0;

	check(ronde_init(NULL)); /* finds the other ranks; alone, the world has size 1 */
	check(ronde_broadcast_parameters(&line, 1, 0)); /* all start with rank 0's weights */
	check(ronde_distributed_optimizer_create(&optimizer, step, NULL, &line, 1, NULL));
	for (int pass = 0; pass < 200; pass++) {
		float x = (float)((pass * ronde_size() + ronde_rank()) % 10) / 10; /* my point */
		float error = weights[0] * x + weights[1] - (3 * x + 1);

		loss = error * error;
		gradients[0] = 2 * error * x;
		gradients[1] = 2 * error;
		check(ronde_distributed_optimizer_step(optimizer)); /* averages, calls step() */
	}
	check(ronde_allreduce("loss", &loss, &loss, 1, RONDE_FLOAT32, RONDE_AVERAGE));
	if (ronde_rank() == 0)
		printf("%d ranks: y = %.2f x + %.2f, last loss %.1e\n", ronde_size(),
		       (double)weights[0], (double)weights[1], (double)loss);
	ronde_distributed_optimizer_destroy(optimizer);
	check(ronde_shutdown());
	return 0;
}
