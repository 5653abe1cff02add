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

#endif

/* The kernels of ranks, the fastest first. */
static const struct RankKernel
{
	ForestKernel kernel;
	bool		(*is_there) (void);	/* NULL: anywhere */
	RowKernel	(*row) (const ForestPlan *plan);	/* NULL: none */
	BatchKernel (*batch) (const ForestPlan *plan);
	const char *name;
	const char *keys_name;		/* where one row is scored by keys, */
	const char *walk_name;		/* or walked */
}			rank_kernels[] = {
#ifdef HAVE_X86_KERNELS
	{FOREST_KERNEL_AVX512, has_avx512, avx512_kernel, avx512_batch_kernel,
	"ranks, AVX-512", "keys; ranks, AVX-512, for batches", "walk; ranks, AVX-512, for batches"},
	{FOREST_KERNEL_AVX2, has_avx2, avx2_kernel, avx2_batch_kernel,
	"ranks, AVX2", "keys; ranks, AVX2, for batches", "walk; ranks, AVX2, for batches"},
#endif
	{FOREST_KERNEL_PLAIN, NULL, NULL, plain_batch_kernel,
	NULL, "keys; ranks for batches", "walk; ranks for batches"},
};

#define NUM_RANK_KERNELS	(sizeof(rank_kernels) / sizeof(rank_kernels[0]))

/* NULL: the processor lacks it, or it is no kernel of ranks. */
static const struct RankKernel *
find_rank_kernel(ForestKernel kernel)
{
	size_t		i;

	for (i = 0; i < NUM_RANK_KERNELS; i++)
		if (rank_kernels[i].kernel == kernel &&
			(rank_kernels[i].is_there == NULL || rank_kernels[i].is_there()))
			return &rank_kernels[i];
	return NULL;
}

bool
forest_has_kernel(ForestKernel kernel)
{
	return kernel == FOREST_KERNEL_AUTO || kernel == FOREST_KERNEL_WALK ||
		kernel == FOREST_KERNEL_KEYS || find_rank_kernel(kernel) != NULL;
}

/*
 * Set the kernels of ranks, and what takes single rows where they are only for many.
 * False: the plan has no ranks, or none for this processor.
 */
static bool
set_rank_kernel(Forest *forest, const struct RankKernel *ranks)
{
	const ForestPlan *plan = forest->plan;
	RowKernel	row;
	BatchKernel batch;

	if (plan == NULL || plan->num_groups == 0 || ranks == NULL)
		return false;
	row = ranks->row != NULL && !plan_is_wide(plan) ? ranks->row(plan) : NULL;
	batch = ranks->batch(plan);
	if (row == NULL && batch == NULL)
		return false;
	forest->batch_kernel = batch;
	forest->kernel = row;
	forest->kernel_name = ranks->name;
	if (row != NULL)
		return true;
	forest->kernel = keys_kernel(forest);
	forest->kernel_name = ranks->keys_name;
	if (forest->kernel != NULL)
		return true;
	forest->kernel = walk_kernel(forest, &forest->kernel_name);
	forest->kernel_name = ranks->walk_name;
	return true;
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
			set_kernel(forest, FOREST_KERNEL_PLAIN) ||
			set_kernel(forest, FOREST_KERNEL_KEYS) ||
			set_kernel(forest, FOREST_KERNEL_WALK);
	if (kernel == FOREST_KERNEL_KEYS)
		return set_keys_kernel(forest);
	if (kernel != FOREST_KERNEL_WALK)
		return set_rank_kernel(forest, find_rank_kernel(kernel));
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
