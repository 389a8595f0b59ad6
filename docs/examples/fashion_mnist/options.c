/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *argp_program_version = "fashion_mnist, an example of Ronde";

enum { HEAP = 256, NO_HEAP, TARGET, LIMIT };

static const struct argp_option descriptions[] = {
	{"data", 'd', "DIR", 0, "Where the four .gz files are (/usr/share/datasets/fashion-mnist)",
	 0},
	{"epochs", 'e', "N", 0, "Passes over the training images (5)", 0},
	{"batch", 'b', "N", 0, "Images in a step, of all ranks together (128)", 0},
	{"optimizer", 'o', "NAME", 0, "sgd (with momentum 0.9) or adam (adam)", 0},
	{"lr", 'l', "RATE", 0,
	 "Learning rate, reached after 500 steps; then it falls to 0 along a cosine (adam: "
	 "0.002, sgd: 0.02)",
	 0},
	{"seed", 's', "N", 0, "Seed of weights and shuffling (1)", 0},
	{"steps", 'n', "N", 0, "Stop after so many steps", 0},
	{"losses", 'f', "FILE", 0, "Write the loss over the whole batch of each step, a line each",
	 0},
	{"compression", 'c', "KIND", 0, "How gradients travel: none, fp16 or bf16 (none)", 0},
	{"heap", HEAP, NULL, 0,
	 "Keep gradients in memory that all ranks of a machine see: no "
	 "copies (default)",
	 0},
	{"no-heap", NO_HEAP, NULL, 0, "Keep gradients in ordinary memory", 0},
	{"target-accuracy", TARGET, "A", 0,
	 "Stop after the epoch that reaches this test accuracy "
	 "(0 to 1); the exit status is 2 if none does",
	 0},
	{"time-limit", LIMIT, "SECONDS", 0, "Stop training after so many seconds of it", 0},
	{0},
};

static long whole_number(struct argp_state *state, const char *name, const char *text, long least,
			 long most)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (end == text || *end || errno || value < least || value > most)
		argp_error(state, "--%s: \"%s\" is not a whole number from %ld to %ld", name, text,
			   least, most);
	return value;
}

static double number(struct argp_state *state, const char *name, const char *text, double most)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !isfinite(value) || value <= 0 || value > most)
		argp_error(state, "--%s: \"%s\" is not a number above 0 and at most %g", name, text,
			   most);
	return value;
}

static int word(struct argp_state *state, const char *name, const char *text,
		const char *const *words)
{
	for (int i = 0; words[i]; i++)
		if (!strcmp(text, words[i]))
			return i;
	argp_error(state, "--%s: \"%s\" is none of %s, %s%s%s", name, text, words[0], words[1],
		   words[2] ? ", " : "", words[2] ? words[2] : "");
	return 0;
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
	static const char *const optimizers[] = {"sgd", "adam", NULL};
	static const char *const compressions[] = {"none", "fp16", "bf16", NULL};
	struct options *o = state->input;

	switch (key) {
	case 'd':
		o->data = argument;
		break;
	case 'e':
		o->epochs = (int)whole_number(state, "epochs", argument, 1, 1000000);
		break;
	case 'b':
		o->batch = (int)whole_number(state, "batch", argument, 1, 1000000);
		break;
	case 'o':
		o->optimizer = (enum optimizer_kind)word(state, "optimizer", argument, optimizers);
		break;
	case 'l':
		o->rate = number(state, "lr", argument, 1000);
		break;
	case 's':
		o->seed = (uint64_t)whole_number(state, "seed", argument, 0, LONG_MAX);
		break;
	case 'n':
		o->steps = whole_number(state, "steps", argument, 1, LONG_MAX);
		break;
	case 'f':
		o->losses = argument;
		break;
	case 'c':
		o->compression =
			(ronde_compression)word(state, "compression", argument, compressions);
		break;
	case HEAP:
	case NO_HEAP:
		o->heap = key == HEAP;
		break;
	case TARGET:
		o->target_accuracy = number(state, "target-accuracy", argument, 1);
		break;
	case LIMIT:
		o->time_limit = number(state, "time-limit", argument, 1e9);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

void options_parse(struct options *options, int argc, char **argv)
{
	static const struct argp argp = {
		.options = descriptions,
		.parser = parse,
		.doc = "Trains a convolutional network on Fashion-MNIST, on as many ranks as it is "
		       "started with:\v"
		       "  mpirun -np 2 fashion_mnist\n\n"
		       "The batch is shared out over the ranks. With any number of them the same "
		       "network is trained, up to rounding; and bit for bit the same with 1, 2, 4 "
		       "… ranks if each gets 32, 64, 128 … images of a batch."};

	*options = (struct options){.data = "/usr/share/datasets/fashion-mnist",
				    .epochs = 5,
				    .batch = 128,
				    .seed = 1,
				    .optimizer = OPTIMIZER_ADAM,
				    .heap = true};
	argp_parse(&argp, argc, argv, 0, NULL, options);
	if (options->rate == 0)
		options->rate = options->optimizer == OPTIMIZER_ADAM ? 0.002 : 0.02;
}
