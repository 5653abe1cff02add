/*
 * kernel.c
 *		Which kernel scores a forest: the one place that asks what the
 *		processor has.
 *
 * The code is compiled for the plain architecture; functions that need more say
 * so themselves, and are reached through here only.
 */
#include <stddef.h>

#include "contribute.h"
#include "kernel.h"
#include "pure.h"

#ifdef HAVE_X86_KERNELS

static bool
has_avx2(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt");
}

static bool
has_avx512(void)
{
	return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
		__builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi") &&
		__builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
}

/* See kernel.h. */
bool
kernel_wants_ranks(void)
{
	return has_avx2() || has_avx512();
}

/*
 * Set the kernels of ranks.  False: the plan has no ranks, or the processor lacks
 * them.  With many slots AVX2 is the quicker way for many rows only.
 */
static bool
set_rank_kernel(Forest *forest, ForestKernel kernel)
{
	const ForestPlan *plan = forest->plan;

	if (plan == NULL || plan->num_groups == 0)
		return false;
	if (kernel == FOREST_KERNEL_AVX512 && has_avx512())
	{
		forest->kernel = avx512_kernel(plan);
		forest->batch_kernel = avx512_batch_kernel(plan);
		forest->kernel_name = "ranks, AVX-512";
		return true;
	}
	if (kernel == FOREST_KERNEL_AVX2 && has_avx2())
	{
		if (avx2_kernel(plan) == NULL && avx2_batch_kernel(plan) == NULL)
			return false;
		forest->kernel = avx2_kernel(plan);
		forest->batch_kernel = avx2_batch_kernel(plan);
		forest->kernel_name = "ranks, AVX2";
		if (forest->kernel == NULL)
		{
			forest->kernel = keys_kernel(forest);
			forest->kernel_name = "keys; ranks, AVX2, for batches";
		}
		if (forest->kernel == NULL)
		{
			forest->kernel = walk_kernel(forest, &forest->kernel_name);
			forest->kernel_name = "walk; ranks, AVX2, for batches";
		}
		return true;
	}
	return false;
}

#else							/* no kernels of ranks */

/* See kernel.h. */
bool
kernel_wants_ranks(void)
{
	return false;
}

static bool
set_rank_kernel(Forest *forest, ForestKernel kernel)
{
	(void) forest;
	(void) kernel;
	return false;
}

#endif

bool
forest_has_kernel(ForestKernel kernel)
{
#ifdef HAVE_X86_KERNELS
	if (kernel == FOREST_KERNEL_AVX2)
		return has_avx2();
	if (kernel == FOREST_KERNEL_AVX512)
		return has_avx512();
#endif
	return kernel == FOREST_KERNEL_AUTO || kernel == FOREST_KERNEL_WALK ||
		kernel == FOREST_KERNEL_KEYS;
}

/* Set the kernel of keys.  False: the plan has none. */
static bool
set_keys_kernel(Forest *forest)
{
	RowKernel	keys = keys_kernel(forest);

	if (keys == NULL)
		return false;
	forest->kernel = keys;
	forest->batch_kernel = NULL;
	forest->kernel_name = "keys";
	return true;
}

/* Set what adds up the trees. */
static bool
set_kernel(Forest *forest, ForestKernel kernel)
{
	if (kernel == FOREST_KERNEL_AUTO)
		return set_kernel(forest, FOREST_KERNEL_AVX512) ||
			set_kernel(forest, FOREST_KERNEL_AVX2) ||
			set_kernel(forest, FOREST_KERNEL_KEYS) ||
			set_kernel(forest, FOREST_KERNEL_WALK);
	if (kernel == FOREST_KERNEL_KEYS)
		return set_keys_kernel(forest);
	if (kernel != FOREST_KERNEL_WALK)
		return set_rank_kernel(forest, kernel);
	forest->batch_kernel = NULL;
	if (forest->header->kind == FOREST_LINEAR)
	{
		forest->kernel = NULL;
		forest->kernel_name = "linear";
	}
	else
		forest->kernel = walk_kernel(forest, &forest->kernel_name);
	return true;
}

bool
forest_set_kernel(Forest *forest, ForestKernel kernel)
{
	if (!set_kernel(forest, kernel))
		return false;
	forest->contribute = contribute_kernel(kernel);
	return true;
}

void
forest_use_plan(Forest *forest, const void *plan)
{
	forest->plan = plan;
	forest_set_kernel(forest, FOREST_KERNEL_AUTO);
}
