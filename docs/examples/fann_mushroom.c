/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Somebody else's training loop, run on many ranks without changing it: Debian's FANN library.
 *
 *	mpirun -np 2 fann_mushroom
 *
 * FANN trains by passes over all samples: fann_train_epoch() adds up the slopes (the gradient) and
 * then calls fann_update_weights_irpropm(). The library calls its own functions through the dynamic
 * linker, so a program that defines a function of that name is called in its place. Ours adds up
 * the slopes over the ranks and calls FANN's. Each rank holds a share of the samples, and Rprop
 * wants the sum over all of them: with RONDE_SUM every rank takes the very step that one process
 * with all samples would take, and shares need not be equal (the first ranks get one sample more if
 * they don't divide evenly).
 *
 * The error that FANN reports and that ends training is kept in the same struct, as sums: adding
 * those up too makes all ranks end after the same pass.
 */
#include <dlfcn.h>
#include <fann.h>
#include <ronde/ronde.h>
#include <stdio.h>
#include <stdlib.h>

static void check(int status)
{
	if (!status)
		return;
	fprintf(stderr, "fann_mushroom: rank %d: %s\n", ronde_rank(), ronde_error_message());
	ronde_shutdown(); /* lets the other ranks end as well */
	exit(EXIT_FAILURE);
}

/* The error measures that FANN keeps as sums over samples. */
static void sum_errors(struct fann *ann)
{
	double sums[3] = {ann->MSE_value, ann->num_MSE, ann->num_bit_fail};

	check(ronde_allreduce("errors", sums, sums, 3, RONDE_FLOAT64, RONDE_SUM));
	ann->MSE_value = (float)sums[0];
	ann->num_MSE = (unsigned)sums[1];
	ann->num_bit_fail = (unsigned)sums[2];
}

/* In the place of FANN's function of this name. */
__attribute__((visibility("default"))) void
fann_update_weights_irpropm(struct fann *ann, unsigned first_weight, unsigned past_end)
{
	static void (*update)(struct fann *, unsigned, unsigned);
	float *slopes = ann->train_slopes + first_weight;

	if (!update)
		*(void **)&update = dlsym(RTLD_NEXT, "fann_update_weights_irpropm");
	check(ronde_allreduce("slopes", slopes, slopes, past_end - first_weight, RONDE_FLOAT32,
			      RONDE_SUM));
	sum_errors(ann);
	update(ann, first_weight, past_end);
}

/* This rank's share of the samples in a file. */
static struct fann_train_data *read_share(const char *path)
{
	struct fann_train_data *all = fann_read_train_from_file(path), *mine = NULL;
	int32_t well = 0, all_well;

	if (all) {
		unsigned count = fann_length_train_data(all), size = (unsigned)ronde_size();
		unsigned rank = (unsigned)ronde_rank();
		unsigned each = count / size, extra = count % size;

		well = count >= size;
		if (!well)
			fprintf(stderr, "fann_mushroom: %s has %u samples, too few for %u ranks\n",
				path, count, size);
		else
			mine = fann_subset_train_data(all,
						      rank * each + (rank < extra ? rank : extra),
						      each + (rank < extra));
		fann_destroy_train(all);
	} else {
		fprintf(stderr,
			"fann_mushroom: rank %d cannot read %s; Debian's package libfann-doc "
			"has it\n",
			ronde_rank(), path);
	}
	check(ronde_allreduce("well", &well, &all_well, 1, RONDE_INT32, RONDE_MIN));
	if (!all_well) {
		ronde_shutdown();
		exit(EXIT_FAILURE);
	}
	return mine;
}

static void test(struct fann *ann, struct fann_train_data *data, const char *when)
{
	fann_reset_MSE(ann);
	fann_test_data(ann, data);
	sum_errors(ann);
	if (ronde_rank() == 0)
		printf("%s training: test error %.6f, %u wrong outputs (bit fail)\n", when,
		       (double)fann_get_MSE(ann), fann_get_bit_fail(ann));
}

int main(int argc, char **argv)
{
	const char *folder = argc > 1 ? argv[1] : "/usr/share/doc/libfann-dev/examples/datasets";
	struct fann_train_data *train_data, *test_data;
	struct fann *ann;
	char path[4096];

	if (argc > 3 || folder[0] == '-') {
		fprintf(stderr, "usage: fann_mushroom [FOLDER OF mushroom.train AND mushroom.test "
				"[FILE FOR THE TRAINED NETWORK]]\n");
		return EXIT_FAILURE;
	}
	check(ronde_init(NULL));
	snprintf(path, sizeof(path), "%s/mushroom.train", folder);
	train_data = read_share(path);
	snprintf(path, sizeof(path), "%s/mushroom.test", folder);
	test_data = read_share(path);

	ann = fann_create_standard(3, fann_num_input_train_data(train_data), 32,
				   fann_num_output_train_data(train_data));
	if (!ann) {
		fprintf(stderr, "fann_mushroom: no memory for the network\n");
		return EXIT_FAILURE;
	}
	fann_set_activation_function_hidden(ann, FANN_SIGMOID_SYMMETRIC);
	fann_set_activation_function_output(ann, FANN_SIGMOID);
	srand(1 + (unsigned)ronde_rank());
	fann_randomize_weights(ann, -0.1f, 0.1f); /* differently on each rank */
	check(ronde_broadcast("weights", ann->weights, ann->weights,
			      fann_get_total_connections(ann), RONDE_FLOAT32, 0));

	test(ann, test_data, "before");
	/* FANN's own loop; the others' reports would only repeat rank 0's. */
	fann_train_on_data(ann, train_data, 300, ronde_rank() == 0 ? 10 : 0, 0.0001f);
	test(ann, test_data, "after");

	if (argc > 2 && ronde_rank() == 0 && fann_save(ann, argv[2]))
		fprintf(stderr, "fann_mushroom: %s cannot be written\n", argv[2]);
	fann_destroy(ann);
	fann_destroy_train(train_data);
	fann_destroy_train(test_data);
	return ronde_shutdown() ? EXIT_FAILURE : EXIT_SUCCESS;
}
