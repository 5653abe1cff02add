/*
 * contribute_rows.c
 *		Contributions of many rows, and which kernel of contributions a processor
 *		has.
 *
 * There is one text (contribute_lanes.h), for vectors of three widths.
 */
#include "contribute.h"
#include "pure.h"

#define LANES			4
#define TARGET
#define NAME(name)		name ## _4
#include "contribute_lanes.h"

#ifdef HAVE_X86_KERNELS

#define LANES			8
#define TARGET			__attribute__((target("avx2")))
#define NAME(name)		name ## _8
#include "contribute_lanes.h"

#define LANES			16
#define TARGET			__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#define NAME(name)		name ## _16
#include "contribute_lanes.h"

#endif

/* See contribute.h. */
const ContributeKernel *
contribute_kernel(ForestKernel kernel)
{
	static const ContributeKernel plain = {contribute_row, explain_rows_4, 4, "any"};

#ifdef HAVE_X86_KERNELS
	static const ContributeKernel avx2 = {contribute_row, explain_rows_8, 8, "AVX2"};
	static const ContributeKernel avx512 = {contribute_row_avx512, explain_rows_16, 16, "AVX-512"};

	if (kernel == FOREST_KERNEL_AUTO)
		kernel = forest_has_kernel(FOREST_KERNEL_AVX512) ? FOREST_KERNEL_AVX512 :
			forest_has_kernel(FOREST_KERNEL_AVX2) ? FOREST_KERNEL_AVX2 : FOREST_KERNEL_WALK;
	if (kernel == FOREST_KERNEL_AVX512)
		return &avx512;
	if (kernel == FOREST_KERNEL_AVX2)
		return &avx2;
#else
	(void) kernel;
#endif
	return &plain;
}
