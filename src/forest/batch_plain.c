/*
 * batch_plain.c
 *		Many rows at once, by ranks, for all processors: batch_lanes.h with 16 rows in
 *		a vector, which x86-64 and AArch64 have anyway.
 */
#include <string.h>

#include "kernel.h"
#include "rank.h"
#include "pure.h"

#define BATCH_KERNEL	plain_batch_kernel
#define LANES			16
#define TARGET

typedef uint32_t Words __attribute__((vector_size(LANES)));
typedef float Floats __attribute__((vector_size(LANES)));

#ifdef __SSE2__
#include <emmintrin.h>

#define CHOOSE(mask, one, other) \
	((Lanes) _mm_max_epu8((__m128i) (one), (__m128i) ((other) & ~(mask))))

/* 4 bytes as words. */
static ALWAYS_INLINE Words
widen(const uint8_t *bytes)
{
	__m128i		zero = _mm_setzero_si128();
	int			some;

	memcpy(&some, bytes, sizeof(some));
	return (Words) _mm_unpacklo_epi16(_mm_unpacklo_epi8(_mm_cvtsi32_si128(some), zero), zero);
}

/* 4 bytes four times each. */
static ALWAYS_INLINE Words
repeat(const int8_t *bytes)
{
	__m128i		twice;
	int			some;

	memcpy(&some, bytes, sizeof(some));
	twice = _mm_unpacklo_epi8(_mm_cvtsi32_si128(some), _mm_cvtsi32_si128(some));
	return (Words) _mm_unpacklo_epi16(twice, twice);
}

#else

/* Likewise. */
static ALWAYS_INLINE Words
widen(const uint8_t *bytes)
{
	return (Words) {bytes[0], bytes[1], bytes[2], bytes[3]};
}

/* Likewise. */
static ALWAYS_INLINE Words
repeat(const int8_t *bytes)
{
	return widen((const uint8_t *) bytes) * 0x01010101;
}

#endif

/* How many of 16 cuts are <= value. */
static ALWAYS_INLINE uint32_t
count_cuts(float value, const float *cuts)
{
	const Floats *some = (const Floats *) cuts;
	Floats		values = {value, value, value, value};
	Words		counts = (Words) ((values >= some[0]) + (values >= some[1]) +
								  (values >= some[2]) + (values >= some[3]));

	return -(counts[0] + counts[1] + counts[2] + counts[3]);
}

#include "batch_lanes.h"
