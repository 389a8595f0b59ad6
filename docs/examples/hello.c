/* SPDX-License-Identifier: Apache-2.0 */
#include <ronde/ronde.h>
#include <stdio.h>

static float weights[2], gradients[2]; /* y = weights[0] x + weights[1] */

static int step(void *rate) /* your own update; it knows nothing of other ranks */
{
	for (int i = 0; i < 2; i++)
		weights[i] -= *(float *)rate * gradients[i];
	return 0;
}

int main(void)
{
	const ronde_parameter line = {"line", weights, gradients, 2, RONDE_FLOAT32};
	ronde_distributed_optimizer *optimizer = NULL;
	float rate = 0.5f, loss = 0;
	int status = ronde_init(NULL); /* finds the other ranks; alone, the world has size 1 */

	if (!status)
		status = ronde_broadcast_parameters(&line, 1, 0); /* all start with rank 0's */
	if (!status)
		status =
			ronde_distributed_optimizer_create(&optimizer, step, &rate, &line, 1, NULL);
	for (int i = 0; !status && i < 200; i++) {
		float x = (float)((i * ronde_size() + ronde_rank()) % 10) / 10; /* my own points */
		float y = 3 * x + 1;
		float error = weights[0] * x + weights[1] - y;

		loss = error * error;
		gradients[0] = 2 * error * x;
		gradients[1] = 2 * error;
		status = ronde_distributed_optimizer_step(optimizer); /* averages, calls step() */
	}
	if (!status)
		status = ronde_allreduce("loss", &loss, &loss, 1, RONDE_FLOAT32, RONDE_AVERAGE);
	if (status)
		fprintf(stderr, "hello: %s\n", ronde_error_message());
	else if (ronde_rank() == 0)
		printf("%d ranks: y = %.2f x + %.2f\n", ronde_size(), weights[0], weights[1]);
	ronde_distributed_optimizer_destroy(optimizer);
	ronde_shutdown();
	return status ? 1 : 0;
}
