/*
 * kernel.c
 *		Which kernel scores a forest: the one place that asks what the
 *		processor has.
 *
 * The code is compiled for the plain architecture; functions that need more say
 * so themselves, and are reached through here only.
 */
#include <stddef.h>

#include "kernel.h"
#include "pure.h"

static bool
has_avx2(void)
{
#ifdef HAVE_X86_KERNELS
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt");
#else
	return false;
#endif
}

static bool
has_avx512(void)
{
#ifdef HAVE_X86_KERNELS
	return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
		__builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi") &&
		__builtin_cpu_supports("popcnt");
#else
	return false;
#endif
}

/* The rank kernel of these instructions; NULL: the processor or the plan lacks it. */
static RowKernel
rank_kernel(const ForestPlan *plan, ForestKernel kernel)
{
#ifdef HAVE_X86_KERNELS
	if (plan != NULL && kernel == FOREST_KERNEL_AVX512 && has_avx512())
		return avx512_kernel(plan);
	if (plan != NULL && kernel == FOREST_KERNEL_AVX2 && has_avx2())
		return avx2_kernel(plan);
#endif
	return NULL;
}

/* The same for many rows; for a processor and a plan that rank_kernel() allows. */
static BatchKernel
batch_kernel(const ForestPlan *plan, ForestKernel kernel)
{
#ifdef HAVE_X86_KERNELS
	if (kernel == FOREST_KERNEL_AVX512)
		return avx512_batch_kernel(plan);
	if (kernel == FOREST_KERNEL_AVX2)
		return avx2_batch_kernel(plan);
#endif
	return NULL;
}

/* See kernel.h. */
bool
kernel_wants_plan(void)
{
	return has_avx2() || has_avx512();
}

bool
forest_set_kernel(Forest *forest, ForestKernel kernel)
{
	static const char *const names[] = {
		[FOREST_KERNEL_AVX2] = "ranks, AVX2",
		[FOREST_KERNEL_AVX512] = "ranks, AVX-512"
	};
	RowKernel	function;

	if (kernel == FOREST_KERNEL_AUTO)
		return forest_set_kernel(forest, FOREST_KERNEL_AVX512) ||
			forest_set_kernel(forest, FOREST_KERNEL_AVX2) ||
			forest_set_kernel(forest, FOREST_KERNEL_WALK);
	if (forest->header->kind == FOREST_LINEAR)
	{
		forest->kernel = NULL;
		forest->batch_kernel = NULL;
		forest->kernel_name = "linear";
		return kernel == FOREST_KERNEL_WALK;
	}
	if (kernel == FOREST_KERNEL_WALK)
	{
		forest->kernel = walk_kernel(forest, &forest->kernel_name);
		forest->batch_kernel = NULL;
		return true;
	}
	function = rank_kernel(forest->plan, kernel);
	if (function == NULL)
		return false;
	forest->kernel = function;
	forest->batch_kernel = batch_kernel(forest->plan, kernel);
	forest->kernel_name = names[kernel];
	return true;
}

void
forest_use_plan(Forest *forest, const void *plan)
{
	forest->plan = plan;
	forest_set_kernel(forest, FOREST_KERNEL_AUTO);
}
