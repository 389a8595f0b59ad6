/* SPDX-License-Identifier: Apache-2.0 */
/* The least program that trains: finds y = 3x + 1 from points that are spread over the ranks. */
#include <ronde/ronde.h>
#include <stdio.h>

static float weights[2], gradients[2];
static const ronde_parameter line = {"line", weights, gradients, 2, RONDE_FLOAT32};

static int step(void *rate) /* your own update; knows nothing of other ranks */
{
	for (int i = 0; i < 2; i++)
		weights[i] -= *(float *)rate * gradients[i];
	return 0;
}

int main(void)
{
	ronde_distributed_optimizer *optimizer = NULL;
	float rate = 0.5f;
	int bad = ronde_init(NULL) || /* finds the other ranks; alone, the world has size 1 */
		  ronde_broadcast_parameters(&line, 1, 0) || /* all start with rank 0's weights */
		  ronde_distributed_optimizer_create(&optimizer, step, &rate, &line, 1, NULL);
	for (int pass = 0; !bad && pass < 200; pass++) {
		float x = (float)((pass * ronde_size() + ronde_rank()) % 10) / 10; /* my point */
		gradients[1] = 2 * (weights[0] * x + weights[1] - (3 * x + 1));
		gradients[0] = gradients[1] * x;
		bad = ronde_distributed_optimizer_step(optimizer); /* averages, calls step() */
	}
	if (bad)
		fprintf(stderr, "hello: %s\n", ronde_error_message());
	else if (ronde_rank() == 0)
		printf("%d ranks: y = %.2f x + %.2f\n", ronde_size(), (double)weights[0],
		       (double)weights[1]);
	ronde_distributed_optimizer_destroy(optimizer);
	return ronde_shutdown() || bad;
}
