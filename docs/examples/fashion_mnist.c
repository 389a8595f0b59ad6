/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trains a convolutional network on Fashion-MNIST with Ronde:
 *
 *	mpirun -np 2 fashion_mnist
 *
 * The whole of Ronde's part is in this file and in fashion_mnist/train.c: init, one broadcast of
 * the weights, one wrapped optimizer, ronde_gradient_ready() in the backward pass. The rest is a
 * training program as one would write it for one process: idx.c reads the images, layers.c and
 * net.c compute, accumulator.c adds up, optimizers.c updates the weights, progress.c shows what
 * happens.
 */
#include "fashion_mnist/train.h"

#include <cblas.h>
#include <stdlib.h>

/* Exit statuses beside EXIT_SUCCESS and EXIT_FAILURE. */
enum { EXIT_TARGET_MISSED = 2 };

/*
 * Ranks are what shares out the work here, so each computes with one thread, unless the user has
 * said otherwise in the environment. (OpenBLAS would start as many as there are cores.)
 */
static void limit_threads(void)
{
	if (!getenv("OPENBLAS_NUM_THREADS") && !getenv("GOTO_NUM_THREADS") &&
	    !getenv("OMP_NUM_THREADS"))
		openblas_set_num_threads(1);
}

/*
 * One rank may be unable to start (a file is missing on its machine) while the others wait for it
 * in their first operation. So all ranks come here; if one of them has an error, the first that has
 * tells it and all leave.
 */
static int all_well(const char *error)
{
	int32_t mine = *error ? ronde_rank() : ronde_size(), first;
	int status = ronde_allreduce("all well", &mine, &first, 1, RONDE_INT32, RONDE_MIN);

	if (status) {
		fprintf(stderr, "fashion_mnist: %s\n", ronde_error_message());
		return status;
	}
	if (first == ronde_size())
		return RONDE_OK;
	if (first == ronde_rank())
		fprintf(stderr, "fashion_mnist: rank %d: %s\n", first, error);
	return RONDE_ERR_CALLBACK;
}

static int train(struct trainer *trainer, double *accuracy)
{
	const struct options *options = trainer->options;
	int status = trainer_start(trainer);

	for (int epoch = 0; !status && epoch < options->epochs && !trainer->stop; epoch++) {
		status = trainer_epoch(trainer, epoch);
		if (!status)
			status = trainer_accuracy(trainer, accuracy);
		if (status)
			break;
		progress_clear(&trainer->progress);
		if (trainer->rank == 0)
			printf("epoch %d/%d: loss %.4f, test accuracy %.4f, %.1f s of training\n",
			       epoch + 1, options->epochs, trainer->recent_loss, *accuracy,
			       trainer->seconds);
		fflush(stdout);
		if (options->target_accuracy > 0 && *accuracy >= options->target_accuracy)
			break;
	}
	if (status) {
		progress_clear(&trainer->progress);
		fprintf(stderr, "fashion_mnist: rank %d: %s\n", trainer->rank,
			ronde_error_message());
	}
	return status;
}

/* All ranks call it: they tell each other how long they waited. */
static int summarize(const struct trainer *trainer, double accuracy)
{
	double rate = (double)trainer->images / trainer->seconds;
	double waiting = trainer_waiting(trainer), least, most;
	int status = ronde_allreduce("least", &waiting, &least, 1, RONDE_FLOAT64, RONDE_MIN);

	if (!status)
		status = ronde_allreduce("most", &waiting, &most, 1, RONDE_FLOAT64, RONDE_MAX);
	if (status || trainer->rank != 0)
		return status;
	printf("test accuracy  %.4f\n", accuracy);
	printf("epoch time     %.2f s, without loading and evaluation\n",
	       trainer->train.count / rate);
	printf("images/s       %.0f on %d rank%s\n", rate, trainer->size,
	       trainer->size == 1 ? "" : "s");
	printf("communication  %.1f to %.1f %% of a rank's time was spent waiting for it\n",
	       100 * least, 100 * most);
	return RONDE_OK;
}

int main(int argc, char **argv)
{
	struct options options;
	struct trainer trainer;
	char error[8192] = "";
	double accuracy = 0;
	int status;

	options_parse(&options, argc, argv);
	if (ronde_init(NULL)) {
		fprintf(stderr, "fashion_mnist: %s\n", ronde_error_message());
		return EXIT_FAILURE;
	}
	limit_threads();
	trainer_init(&trainer, &options, error, sizeof(error));
	status = all_well(error);
	if (!status)
		status = train(&trainer, &accuracy);
	if (!status) {
		status = summarize(&trainer, accuracy);
		if (status)
			fprintf(stderr, "fashion_mnist: rank %d: %s\n", trainer.rank,
				ronde_error_message());
	}
	trainer_finish(&trainer);
	ronde_shutdown();
	if (status)
		return EXIT_FAILURE;
	return accuracy < options.target_accuracy ? EXIT_TARGET_MISSED : EXIT_SUCCESS;
}
