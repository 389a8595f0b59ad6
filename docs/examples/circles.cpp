// SPDX-License-Identifier: Apache-2.0
//
// A small network in C++17, trained by all ranks together: tells points inside a ring from those
// outside. Shows how Ronde looks behind classes of one's own: a session that ends with its scope,
// vectors in memory that all ranks see (no copy is made of them), errors as exceptions.
#include <ronde/ronde.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

namespace
{

// ---- Ronde as C++ ----

void check(int status)
{
	if (status != RONDE_OK)
		throw std::runtime_error(ronde_error_message());
}

class session
{
      public:
	session()
	{
		check(ronde_init(nullptr));
	}
	~session()
	{
		ronde_shutdown();
	}
	session(const session &) = delete;
	session &operator=(const session &) = delete;
};

template <class T> struct shared_allocator {
	using value_type = T;

	shared_allocator() = default;
	template <class U> shared_allocator(const shared_allocator<U> &)
	{
	}
	T *allocate(std::size_t n)
	{
		if (void *memory = ronde_alloc(n * sizeof(T)))
			return static_cast<T *>(memory);
		throw std::bad_alloc();
	}
	void deallocate(T *memory, std::size_t)
	{
		ronde_free(memory);
	}
	template <class U> bool operator==(const shared_allocator<U> &) const
	{
		return true;
	}
	template <class U> bool operator!=(const shared_allocator<U> &) const
	{
		return false;
	}
};

using shared_vector = std::vector<double, shared_allocator<double>>;

// Wraps any function object that updates the weights.
template <class Step> class distributed_optimizer
{
      public:
	distributed_optimizer(Step step, const std::vector<ronde_parameter> &parameters)
	    : step_(std::move(step))
	{
		check(ronde_distributed_optimizer_create(&optimizer_, call, this, parameters.data(),
							 parameters.size(), nullptr));
	}
	~distributed_optimizer()
	{
		ronde_distributed_optimizer_destroy(optimizer_);
	}
	distributed_optimizer(const distributed_optimizer &) = delete;
	distributed_optimizer &operator=(const distributed_optimizer &) = delete;

	void step()
	{
		check(ronde_distributed_optimizer_step(optimizer_));
	}

      private:
	// No exception may pass through C.
	static int call(void *self)
	{
		try {
			static_cast<distributed_optimizer *>(self)->step_();
			return 0;
		} catch (...) {
			return 1;
		}
	}

	Step step_;
	ronde_distributed_optimizer *optimizer_ = nullptr;
};

// ---- the network: 2 inputs, hidden tanh units, one logistic output ----

struct point {
	double x, y, label;
};

// The n-th point of the data set: no random numbers, so that every run has the same.
point sample(int n)
{
	double x = 2 * std::fmod(n * 0.7548776662466927, 1.0) - 1;
	double y = 2 * std::fmod(n * 0.5698402909980532, 1.0) - 1;
	double r = x * x + y * y;
	return {x, y, r > 0.15 && r < 0.6 ? 1.0 : 0.0};
}

class network
{
      public:
	static constexpr std::size_t hidden = 24, columns = 4; // of a unit: x, y, bias, output

	// Only rank 0's numbers count: they are broadcast.
	network()
	    : weights(hidden * columns + 1), gradient(weights.size()), momentum(weights.size())
	{
		for (std::size_t i = 0; i < weights.size(); i++)
			weights[i] = 2 * std::sin(12.9898 * static_cast<double>(i + 1));
	}

	std::vector<ronde_parameter> parameters()
	{
		return {{"network", weights.data(), gradient.data(),
			 static_cast<int64_t>(weights.size()), RONDE_FLOAT64}};
	}

	double output(const point &p, double *units) const
	{
		double sum = weights.back();
		for (std::size_t h = 0; h < hidden; h++) {
			const double *w = &weights[h * columns];
			units[h] = std::tanh(w[0] * p.x + w[1] * p.y + w[2]);
			sum += w[3] * units[h];
		}
		return 1 / (1 + std::exp(-sum));
	}

	// Adds a point's share of the gradient; gives its loss.
	double backward(const point &p, double share)
	{
		double units[hidden];
		double q = output(p, units);
		double error = (q - p.label) * share;
		gradient.back() += error;
		for (std::size_t h = 0; h < hidden; h++) {
			double *g = &gradient[h * columns];
			double inner = error * weights[h * columns + 3] * (1 - units[h] * units[h]);
			g[0] += inner * p.x;
			g[1] += inner * p.y;
			g[2] += inner;
			g[3] += error * units[h];
		}
		return -std::log(p.label > 0 ? q : 1 - q) * share;
	}

	void update(double rate)
	{
		for (std::size_t i = 0; i < weights.size(); i++) {
			momentum[i] = 0.9 * momentum[i] + gradient[i];
			weights[i] -= rate * momentum[i];
		}
	}

	shared_vector weights, gradient;

      private:
	std::vector<double> momentum;
};

void train()
{
	constexpr int batch = 64, steps = 1500;
	session ronde;
	if (batch % ronde_size() != 0)
		throw std::runtime_error("the ranks must divide 64");
	const int share = batch / ronde_size();

	network net;
	const auto parameters = net.parameters();
	check(ronde_broadcast_parameters(parameters.data(), parameters.size(), 0));
	distributed_optimizer optimizer([&net] { net.update(0.2); }, parameters);
	double loss = 0;
	for (int step = 0; step < steps; step++) {
		const int first = step * batch + ronde_rank() * share;
		std::fill(net.gradient.begin(), net.gradient.end(), 0.0);
		loss = 0;
		for (int i = 0; i < share; i++)
			loss += net.backward(sample(first + i), 1.0 / share);
		optimizer.step();
	}
	check(ronde_allreduce("loss", &loss, &loss, 1, RONDE_FLOAT64, RONDE_AVERAGE));

	int right = 0;
	double units[network::hidden], sum = 0;
	for (int i = 0; i < 1000; i++) {
		point p = sample(1000000 + i);
		right += (net.output(p, units) > 0.5) == (p.label > 0.5);
	}
	for (double w : net.weights)
		sum += w;
	if (ronde_rank() == 0)
		std::printf("loss %.6f, sum of weights %.15e, %d of 1000 right\n", loss, sum,
			    right);
}

} // namespace

int main()
{
	try {
		train();
		return EXIT_SUCCESS;
	} catch (const std::exception &error) {
		std::fprintf(stderr, "circles: %s\n", error.what());
		return EXIT_FAILURE;
	}
}
